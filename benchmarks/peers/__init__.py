"""Other people's simulators beside ours, for `make measure-peers`; each runs in an environment of its own."""
