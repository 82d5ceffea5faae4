"""Parts of `make measure-s4d`."""
