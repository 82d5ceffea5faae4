"""The errors of imssa_lab: one tree, so that a script can catch all of it by one name.

Every message says what was asked, what came or is allowed, and what to do next.
"""


class ImssaError(Exception):
    """Root of everything that imssa_lab raises on purpose."""


class LimitError(ImssaError, ValueError):
    """A request outside what the array allows; nothing was sent."""


class LinkError(ImssaError):
    """The wire between computer and instrument failed."""


class LinkTimeout(LinkError):
    """No complete answer came before the deadline."""


class LinkLost(LinkError):
    """The other end closed the link or vanished."""


class InstrumentRestarted(LinkLost):
    """The instrument has restarted behind a connection that was kept: what was set before is lost."""


class LinkCorrupt(LinkError):
    """An answer arrived that cannot belong to the request."""


class InvalidReading(LinkError):
    """Numbers that no measurement gives: overflow, not a number, codes beyond the converter, wrong shapes."""


class WrongInstrument(LinkError):
    """The other end is not the instrument that the address names."""


class WrongProcess(LinkError):
    """An array was used, or would be used, in a process that did not open it."""


class ArrayStopped(ImssaError):
    """Another thread has made the array safe: it takes no calls until somebody rearms it."""


class InstrumentError(ImssaError):
    """An error that the instrument itself reported.

    Args:
        code: the number in the instrument's own error queue.
        text: the text that came with it.
    """

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"the instrument reports error {code}: {text}")
        self.code = code
        self.text = text


class ConfigError(ImssaError):
    """A profile, a station, an address or an option that cannot be used as written."""


class CalibrationError(ImssaError):
    """A calibration file that is damaged, of another chip or of another shape; it was not used."""


class LogError(ImssaError):
    """A log that cannot be written, opened or trusted."""


class ReplayMismatch(LogError):
    """A replayed script made another request than the recorded one."""


class BundleError(ImssaError):
    """A file that is not a usable kernel bundle, or a model from elsewhere that cannot become one."""


class DataError(ImssaError):
    """Recordings, images or events that are missing, damaged or not of the promised kind."""


class TrainingError(ImssaError):
    """A training that diverged or was given data it cannot learn from."""


class NotConverged(ImssaError):
    """A solver that stopped before it reached the required residual."""


class DeploymentError(ImssaError):
    """A bundle that cannot be deployed on the given arrays."""
