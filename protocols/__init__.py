"""What is done with an array: programming, calibration, closed-loop kernels, verification, deployment."""

__distribution__ = "imssa-lab"  # so that a file written over this one is seen
