"""Pictures for people and for papers: each function takes a run, or an xarray made of one, and returns a Figure.

Colours are those of Okabe and Ito (Color Universal Design, 2008), maps are cividis and PuOr: all can be distinguished
by colour-blind readers and in grey print. Conductances come in S and are drawn in µS. No function touches the global
state of matplotlib; for a paper, `dress(figure, SINGLE_COLUMN).savefig("maps.pdf")`. A notebook shows the
Figure that ends a cell.
"""

from imssa_lab.report.plots.accuracy import accuracy_against, accuracy_bars
from imssa_lab.report.plots.by_level import conductance_by_level, error_by_level
from imssa_lab.report.plots.calibration import column_calibration
from imssa_lab.report.plots.drift import relaxation_fans
from imssa_lab.report.plots.energy import energy_ranges
from imssa_lab.report.plots.inline import show_figures_inline
from imssa_lab.report.plots.instrument_readings import other_instruments
from imssa_lab.report.plots.kernel_responses import kernel_overlay, nrmse_histogram
from imssa_lab.report.plots.layers_on_arrays import layers_on_arrays
from imssa_lab.report.plots.maps import conductance_maps, error_maps
from imssa_lab.report.plots.noise_spectrum import noise_spectra
from imssa_lab.report.plots.product_errors import column_residuals, mvm_scatter
from imssa_lab.report.plots.pulses import pulse_trajectory, yield_by_pulse
from imssa_lab.report.plots.style import DOUBLE_COLUMN, PAGE, SINGLE_COLUMN, dress
from imssa_lab.report.plots.target_errors import error_histogram, error_quantiles

__all__ = [
    "DOUBLE_COLUMN",
    "PAGE",
    "SINGLE_COLUMN",
    "accuracy_against",
    "accuracy_bars",
    "column_calibration",
    "column_residuals",
    "conductance_by_level",
    "conductance_maps",
    "dress",
    "energy_ranges",
    "error_by_level",
    "error_histogram",
    "error_maps",
    "error_quantiles",
    "kernel_overlay",
    "layers_on_arrays",
    "mvm_scatter",
    "noise_spectra",
    "nrmse_histogram",
    "other_instruments",
    "pulse_trajectory",
    "relaxation_fans",
    "yield_by_pulse",
]

show_figures_inline()
