"""The state of a twin between sessions: one file that holds what the life of a chip has changed, and its lock.

What does not change, the devices of the chip, follows from profile, shape and seed and is kept for comparison alone.
The parts of a twin name what changes in them by `KEPT`; streams of random numbers are among it, so that one long
session and two that follow each other give the same bits.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from imssa_lab.contract.errors import ConfigError
from imssa_lab.contract.operating_system import LOCKS, lives, lock, open_file
from twin.fast.aligned import aligned
from twin.profile import TwinProfile

FORMAT = "imssa_lab twin state"
VERSION = 1
_ALIKE = 1e-9  # relative; other processors round otherwise
_FEW = 3
_LONGEST = 64  # bytes
_log = logging.getLogger(__name__)
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class KeptChip:
    """Which chip a file is of: profile, shape (word lines, bit lines) and seed."""

    profile: TwinProfile
    shape: tuple[int, int]
    seed: int


class StateFile:
    """The state of one chip in a file that nobody else has open.

    Args:
        path: of the file; there need not be one yet. chip: what is opened.

    Raises:
        ConfigError: another process or another twin has it open, it is damaged, or of another chip; nothing changed.
    """

    def __init__(self, path: Path, chip: KeptChip) -> None:
        self.path, self._chip = path, chip
        self._lock = _Lock(path)
        self._opened_with, self._made = "", Arrays()
        try:
            self._refuse_another_chip()
        except BaseException:
            self._lock.release()
            raise

    def _refuse_another_chip(self) -> None:
        kept = kept_chip(self.path)
        if kept is None:
            return
        asked = self._chip
        if kept.profile != asked.profile:
            there, here = (_flat(chip.profile.model_dump()) for chip in (kept, asked))
            other = [
                f"{name} is {there.get(name)} there, {here.get(name)} here"
                for name in {**there, **here}
                if there.get(name) != here.get(name)
            ]
            more = f" and {len(other) - _FEW} more" if len(other) > _FEW else ""
            raise ConfigError(
                f"{self.path}: state of a chip of profile {kept.profile.name!r}, opened is {asked.profile.name!r} "
                f"({'; '.join(other[:_FEW])}{more}); open it with its own profile, or choose another state file"
            )
        for name, was, now in (
            ("shape", "{}x{}".format(*kept.shape), "{}x{}".format(*asked.shape)),
            ("seed", str(kept.seed), str(asked.seed)),
        ):
            if was != now:
                raise ConfigError(
                    f"{self.path}: state of a chip with {name} {was}, opened is one with {name} {now}; "
                    f"open it with {name} {was}, or choose another state file"
                )

    def bring_back(self, twin: object) -> None:
        """Give the twin, as it was made, the state in the file; nothing happens where there is none yet.

        Raises:
            ConfigError: the file is damaged, or this version makes other devices of profile and seed.
        """
        self._made = dict(_devices(twin, "devices"))
        try:
            if self.path.exists():
                state = _read(self.path)
                self._check_devices(state)
                _give(twin, state, "state")
        except BaseException:
            self._lock.release()
            raise

    def begin(self, twin: object) -> None:
        """What comes after this is a session; one in which nothing happens leaves the file as it is."""
        self._opened_with = _digest(dict(_taken(twin, "state")))

    def _check_devices(self, state: Mapping[str, NDArray[Any]]) -> None:
        for name, made in self._made.items():
            there = state.get(name)
            if there is None or there.shape != made.shape or not _alike(there, made):
                raise ConfigError(
                    f"{self.path}: this version of imssa_lab makes another chip of seed {self._chip.seed} "
                    f"({name.removeprefix('devices/')} differs); open it with the version that wrote it, or begin "
                    "a new state file"
                )

    def save(self, twin: object) -> None:
        """Write the state, as a whole or not at all; it replaces an older one.

        Raises:
            ConfigError: it cannot be written; the older one is untouched.
        """
        state = dict(_taken(twin, "state"))
        if _digest(state) == self._opened_with:
            return
        state |= self._made
        draft = self.path.with_name(f"{self.path.name}.draft")
        chip = self._chip
        import h5py

        try:
            with h5py.File(draft, "w") as file:
                for name, value in state.items():
                    file.create_dataset(name, data=value)
                facts = {"profile": chip.profile.model_dump_json(), "shape": chip.shape, "seed": str(chip.seed)}
                file.attrs.update({"format": FORMAT, "version": VERSION, "sha256": _digest(state), **facts})
            with draft.open("rb+") as written:
                os.fsync(written.fileno())
            draft.replace(self.path)
        except OSError as error:
            with suppress(OSError):
                draft.unlink()
            raise ConfigError(
                f"{self.path} cannot be written: {error}; the chip is kept there as it was before this session"
            ) from error

    def close(self) -> None:
        """Let others open it."""
        self._lock.release()


def kept_chip(path: Path) -> KeptChip | None:
    """Which chip a state file is of; None where there is no file.

    Raises:
        ConfigError: it is no state file of a twin, of another version, or damaged.
    """
    if not path.exists():
        return None
    import h5py

    try:
        with h5py.File(path, "r") as file:
            facts = dict(file.attrs)
        if facts.get("format") != FORMAT:
            raise ConfigError(f"{path} is not the state of a twin; choose another state file")
        if facts["version"] != VERSION:
            raise ConfigError(
                f"{path}: state of version {facts['version']}, this imssa_lab reads {VERSION}; open it with the "
                "version that wrote it, or begin a new state file"
            )
        profile = TwinProfile.model_validate_json(str(facts["profile"]))
        rows, cols = (int(lines) for lines in facts["shape"])
        return KeptChip(profile, (rows, cols), int(facts["seed"]))
    except ValidationError as error:
        raise ConfigError(
            f"{path}: its profile is none of this version of imssa_lab; open it with the version that wrote it, or "
            "begin a new state file"
        ) from error
    except (OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: object) -> ConfigError:
    return ConfigError(f"{path}: this state of a twin is damaged ({error}); take a copy of it, or begin a new one")


def _read(path: Path) -> Arrays:
    import h5py

    state: Arrays = {}

    def take(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            state[name] = np.asarray(item[()])

    try:
        with h5py.File(path, "r") as file:
            file.visititems(take)
            digest = str(file.attrs["sha256"])
    except (OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise _damaged(path, error) from error
    if digest != _digest(state):
        raise _damaged(path, "its checksum is another")
    return state


def _digest(state: Mapping[str, NDArray[Any]]) -> str:
    whole = hashlib.sha256()
    for name in sorted(state):
        value = np.ascontiguousarray(state[name])
        whole.update(f"{name} {value.dtype.str} {value.shape}".encode())
        whole.update(value.data)
    return whole.hexdigest()


def _alike(there: NDArray[Any], made: NDArray[Any]) -> bool:
    if made.dtype.kind != "f":
        return bool(np.array_equal(there, made))
    return bool(np.allclose(there, made, rtol=_ALIKE, atol=0.0, equal_nan=True))


# ---- what changes in the parts of a twin


def _taken(part: object, place: str) -> Iterator[tuple[str, NDArray[Any]]]:
    for name in getattr(part, "KEPT", ()):
        yield from _values(getattr(part, name), f"{place}/{name.lstrip('_')}")


def _values(value: Any, place: str) -> Iterator[tuple[str, NDArray[Any]]]:
    if value is None:
        return
    if isinstance(value, np.random.Generator):
        text = json.dumps(value.bit_generator.state, default=_plain).encode()
        yield place, np.frombuffer(text, dtype=np.uint8)
    elif isinstance(value, tuple):
        for number, each in enumerate(value):
            yield from _values(each, f"{place}/{number}")
    elif hasattr(value, "KEPT"):
        yield from _taken(value, place)
    else:
        yield place, np.asarray(value)


def _plain(value: Any) -> Any:
    """Arrays in the state of a generator, which JSON does not know."""
    return value.tolist()


def _give(part: object, state: Mapping[str, NDArray[Any]], place: str) -> None:
    for name in getattr(part, "KEPT", ()):
        here = f"{place}/{name.lstrip('_')}"
        value = getattr(part, name)
        if isinstance(value, np.random.Generator):
            value.bit_generator.state = json.loads(state[here].tobytes())
        elif isinstance(value, tuple):
            setattr(part, name, type(value)(*(state[f"{here}/{number}"] for number in range(len(value)))))
        elif hasattr(value, "KEPT"):
            _give(value, state, here)
        elif isinstance(value, np.ndarray):
            setattr(part, name, aligned(state[here]) if state[here].dtype == np.float64 else state[here])
        elif value is not None:
            setattr(part, name, type(value)(state[here].item()))


def _devices(part: object, place: str) -> Iterator[tuple[str, NDArray[Any]]]:
    """Numbers that were drawn for this chip and stay, by the parts that have a state."""
    names = getattr(part, "KEPT", ())
    for name, value in vars(part).items():
        here = f"{place}/{name.lstrip('_')}"
        if name in names and hasattr(value, "KEPT"):
            yield from _devices(value, here)
        elif name in getattr(part, "DEVICES", ()):
            yield here, np.asarray(value)


def _flat(value: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, each in value.items():
        flat |= _flat(each, f"{above}{name}.") if isinstance(each, dict) else {f"{above}{name}": each}
    return flat


# ---- one session at a time


class _Lock:
    """FILE.session while a session has the state open, as beside a run file; what a killed one leaves is seen."""

    def __init__(self, state: Path) -> None:
        self._path = state.with_name(f"{state.name}.session")
        self._handle = -1
        try:
            left = self._acquire()
        except BlockingIOError:
            raise ConfigError(
                f"{state}: another session has this chip open (process {_process_in(self._path)}); end that first, "
                "or give each chip a state file of its own, as in state=chip{index}.h5"
            ) from None
        except OSError as error:
            raise ConfigError(f"{state} cannot be locked: {error}; choose a folder that can be written") from error
        if left:
            _log.warning(
                "%s: the last session (process %s) ended without closing the twin; the chip is as it was before "
                "that session, whose changes are lost",
                state,
                left,
            )

    def _acquire(self) -> str:
        """Take the lock; which process left it behind, empty where none."""
        while True:
            handle = open_file(self._path, os.O_RDWR | os.O_CREAT)
            try:
                left = os.read(handle, _LONGEST).decode(errors="replace")
                if not LOCKS and left.isdigit() and lives(int(left)):
                    raise BlockingIOError
                lock(handle, shared=False)
                with suppress(FileNotFoundError):
                    if os.path.samestat(os.fstat(handle), os.stat(self._path)):
                        os.ftruncate(handle, 0)
                        os.lseek(handle, 0, os.SEEK_SET)
                        os.write(handle, str(os.getpid()).encode())
                        self._handle = handle
                        return left
            except BaseException:
                os.close(handle)
                raise
            os.close(handle)  # another session has just ended and removed it: begin again

    def release(self) -> None:
        """A second call does nothing."""
        handle, self._handle = self._handle, -1
        if handle < 0:
            return
        if LOCKS:  # removed while it is locked, so that nobody locks a file that is gone
            self._path.unlink(missing_ok=True)
            os.close(handle)
        else:  # Windows removes no file that is open
            os.close(handle)
            self._path.unlink(missing_ok=True)


def _process_in(path: Path) -> str:
    with suppress(OSError):
        return path.read_text(encoding="utf-8", errors="replace")
    return "unknown"
