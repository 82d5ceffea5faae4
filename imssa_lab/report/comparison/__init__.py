"""Two runs side by side: two chips, or one chip on two days."""

from imssa_lab.report.comparison.compared_arrays import ComparedArray, compared_arrays
from imssa_lab.report.comparison.comparison_page import comparison_page

__all__ = ["ComparedArray", "compared_arrays", "comparison_page"]
