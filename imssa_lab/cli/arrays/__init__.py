"""Commands that drive arrays: calibrate, characterise, program, deploy, recheck, demo."""
