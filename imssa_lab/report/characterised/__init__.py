"""The page of a characterisation: what the cells of a chip are like, in pictures."""

from imssa_lab.report.characterised.characterised_page import characterised_figures, write_characterised_page

__all__ = ["characterised_figures", "write_characterised_page"]
