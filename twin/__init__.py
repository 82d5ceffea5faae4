"""The digital twin: a crossbar array in software, behind the same contract as a real one."""

__distribution__ = "imssa-lab"  # so that a file written over this one is seen

from twin.digital_twin import DigitalTwin, open_twin
from twin.profile import TwinProfile, preset_names

__all__ = ["DigitalTwin", "TwinProfile", "open_twin", "preset_names"]
