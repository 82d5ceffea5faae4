"""Pictures and pages for people: what a deployment did, at a glance and in full."""
