"""From sound to sequences: wav files, log-mel spectrograms, gammatone filters, spikes."""

from imssa_lab.s4d.frontend.gammatone import GammatoneBank, erb_bandwidth, erb_number
from imssa_lab.s4d.frontend.logmel import LogMel
from imssa_lab.s4d.frontend.spikes import SpikeEncoder
from imssa_lab.s4d.frontend.wav import fit_length, read_wav

__all__ = ["GammatoneBank", "LogMel", "SpikeEncoder", "erb_bandwidth", "erb_number", "fit_length", "read_wav"]
