"""S4D state-space models for analog hardware: layers, quantisers, tasks, training, kernel bundles.

`bundle`, `inference`, `precision`, `tasks` and `frontend` need no torch; everything that trains does.
"""
