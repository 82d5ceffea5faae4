"""The twin behind real wires: instruments that drivers can talk to, byte for byte.

Nothing here is imported by the drivers; instruments know of the drivers only their wire codecs.
"""
