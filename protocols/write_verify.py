"""Hysteretic write-verify under the name it has had from the start; its siblings are in `protocols.programmers`."""

from protocols.programmers.hysteretic import WriteVerify

__all__ = ["WriteVerify"]
