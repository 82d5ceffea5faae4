"""Real instruments, each of them a `CrossbarArray`.

A driver, ours or a third party's, is announced under the entry point group ``imssa_lab.arrays``, where
`imssa_lab.open_array` finds it; drivers never import `twin`.
"""

__distribution__ = "imssa-lab"  # so that a file written over this one is seen
