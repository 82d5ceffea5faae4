"""S4D state-space models for analog hardware: layers, quantisers, tasks, training, kernel bundles.

`bundle` and `inference` need numpy only; `layers`, `quantisers`, `network` and `training` need torch.
"""
