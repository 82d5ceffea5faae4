"""What a run measured, as xarray Datasets with units: what pictures and reports are made from."""

from imssa_lab.report.measured.calibrated import calibrated
from imssa_lab.report.measured.deployment_result import Outcome, outcome_of, outcome_text
from imssa_lab.report.measured.held_layers import HeldLayers, held_layers
from imssa_lab.report.measured.other_instruments import other_instruments
from imssa_lab.report.measured.products import products
from imssa_lab.report.measured.programmed import programmed
from imssa_lab.report.measured.reads_made import reads_made
from imssa_lab.report.measured.repeats import repeats
from imssa_lab.report.measured.trajectory import trajectory

__all__ = [
    "HeldLayers",
    "Outcome",
    "calibrated",
    "held_layers",
    "other_instruments",
    "outcome_of",
    "outcome_text",
    "products",
    "programmed",
    "reads_made",
    "repeats",
    "trajectory",
]
