"""Parts of measure-bench that are more than a run of tests."""
