"""`make measure-twin`: every bar of the calibrated twin that a machine can measure."""
