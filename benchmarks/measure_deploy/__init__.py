"""`make measure-deploy`: every bar of programming and deployment that a machine can measure."""
