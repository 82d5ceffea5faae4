"""Digital corrections of a deployed net: fitted with the chip in the loop, judged, kept with a date."""
