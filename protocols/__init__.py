"""What is done with an array: programming, calibration, closed-loop kernels, verification, deployment."""
