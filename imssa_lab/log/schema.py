"""The tables of a run file as data: the writer makes them, the reader checks them, docs/log_format.md lists them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

FORMAT = "imssa_lab run"
FORMAT_VERSION = 3
FORMATS_READ = (2, FORMAT_VERSION)
"""Format 2 has all voltages as such: it lacks the columns that hold them as codes."""
LIBVER = ("v110", "v110")
TEXT_BYTES = 512
MOST_LINES = 2**16
"""Word lines or bit lines: their numbers are of two bytes."""
# The value of `seq` and `t_ns` where no record is yet: datasets grow by steps, beyond the last one.
NO_RECORD = 2**64 - 1


@dataclass(frozen=True)
class Column:
    """One dataset of a table.

    Attributes:
        dtype: numpy dtype; "code" means the run's ADC codes (or amperes without an ADC), "steps" whole numbers that
            hold its input codes.
        unit: SI unit, "1" for counts and codes.
        dims: dimensions after the first: "row" (word lines), "col" (bit lines).
        per: what the first dimension counts: "call", or "vector", "read", "cell", "message", "byte" for parts of one.
        meaning: what the numbers of a code mean.
        fill: what a chunk that was never written reads as.
        required: a file without it is no run; the others came later and may be missing in old files.
        behind: the column whose values this one keeps in another way; readers are shown that one alone.
        packed: chunks that are full when they are written are compressed.
        gaps: rows that hold nothing need not be there, also behind the last one that does.
    """

    dtype: str
    unit: str = "1"
    dims: tuple[str, ...] = ()
    per: str = "call"
    meaning: str = ""
    fill: float = 0
    required: bool = True
    behind: str = ""
    packed: bool = False
    gaps: bool = False


class Table(dict[str, Column]):
    """The columns of a table by their names, and what holds for all of it.

    Attributes:
        signal: the dataset that a viewer shows first (NeXus), and whose rows are counted; empty for none.
        asked: columns that say what a call asked for, which a replay compares; empty where records are no calls.
        required: a file without it is no run; a table that came later reads as empty in older files.
    """

    def __init__(
        self,
        columns: Mapping[str, Column],
        *,
        signal: str = "",
        asked: tuple[str, ...] = (),
        required: bool = True,
    ) -> None:
        super().__init__(columns)
        self.signal, self.asked, self.required = signal, asked, required


PULSE_KINDS = ("SET", "RESET", "FORM")
CALL = {
    "seq": Column("u8", meaning="number of the call, one count over all tables and arrays", fill=NO_RECORD),
    "array": Column("u2", meaning="index into /arrays"),
    "device_time": Column("f8", "s", meaning="the array's own time after the call"),
    "wall_time": Column("f8", "s", meaning="seconds since 1970, UTC"),
}
"""The columns that every record of a call has."""
_PARTS = {
    "first": Column("u8", meaning="first row of this call in the datasets that hold several rows a call"),
    "count": Column("u4", meaning="how many rows there are", fill=1),
}
_MAP = ("row", "col")
_YES_NO = "0 no, 1 yes"

TABLES: dict[str, Table] = {
    "read_mvm": Table(
        {
            **CALL,
            **_PARTS,
            "vector_call": Column(
                "u8", per="vector", meaning="seq of the call that a vector belongs to", packed=True
            ),
            "voltage": Column(
                "f8",
                "V",
                ("row",),
                per="vector",
                meaning="where voltage_step is 0; else see there",
                packed=True,
                gaps=True,
            ),
            "voltage_step": Column(
                "f8",
                "V",
                per="vector",
                meaning="where it is not 0, the voltages are voltage_step * voltage_code",
                required=False,
                behind="voltage",
                packed=True,
            ),
            "voltage_code": Column(
                "steps",
                "1",
                ("row",),
                per="vector",
                meaning="the voltages in units of voltage_step",
                required=False,
                behind="voltage",
                packed=True,
                gaps=True,
            ),
            "value": Column("code", "1", ("col",), per="vector", packed=True),
            "range": Column(
                "u1", "1", ("col",), per="vector", meaning="index into the scale and offset of the ADC", packed=True
            ),
        },
        signal="value",
        asked=("voltage",),
    ),
    "read_conductances": Table(
        {
            **CALL,
            **_PARTS,
            "mask": Column("u1", "1", _MAP, meaning=_YES_NO, fill=1),
            "read_call": Column("u8", per="read", meaning="seq of the call that a read belongs to"),
            "value": Column("code", "1", _MAP, per="read"),
            "range": Column("u1", "1", _MAP, per="read", meaning="index into the scale and offset of the ADC"),
        },
        signal="value",
        asked=("count", "mask"),
    ),
    "pulses": Table(
        {
            **CALL,
            "device_time": Column(
                "f8", "s", meaning="the array's own time after the call; NaN while done is 0", fill=math.nan
            ),
            **_PARTS,
            "kind": Column("u1", meaning=", ".join(f"{code} {kind}" for code, kind in enumerate(PULSE_KINDS))),
            "width": Column("f8", "s"),
            "cell_call": Column("u8", per="cell", meaning="seq of the call that pulsed the cell"),
            "row": Column("u2", per="cell", meaning="word line"),
            "col": Column("u2", per="cell", meaning="bit line"),
            "voltage": Column("f8", "V", per="cell"),
            "gate": Column("f8", "V", per="cell"),
            "done": Column("u1", meaning="0 may have been sent, 1 sent to the end"),
        },
        signal="voltage",
        asked=("kind", "width", "voltage", "gate"),
    ),
    "waits": Table({**CALL, "seconds": Column("f8", "s")}, signal="seconds", asked=("seconds",)),
    "calibrations": Table(
        {
            **CALL,
            "cleared": Column("u1", meaning=_YES_NO),
            "gain": Column("f8", "1", ("col",)),
            "offset": Column("f8", "A", ("col",)),
            "residual": Column("f8", "A", ("col",)),
            "date": Column("S32"),
        },
        signal="gain",
        asked=("cleared", "gain", "offset"),
    ),
    "program": Table(
        {
            **CALL,
            "first_seq": Column("u8", meaning="the calls made inside have first_seq <= seq < last_seq"),
            "last_seq": Column("u8", meaning="one past the last call made inside"),
            "default": Column("u1", meaning="1: by the chip's own recipe"),
            "mask": Column("u1", "1", _MAP, meaning=_YES_NO),
            "target": Column("f8", "S", _MAP),
            "achieved": Column("f8", "S", _MAP, meaning="by an independent re-read"),
            "pulses": Column("i4", "1", _MAP),
            "outcome": Column("u1", "1", _MAP, meaning="imssa_lab.contract.hal.CellOutcome"),
            "tolerance": Column("f8", "S"),
            "seconds": Column("f8", "s"),
            "reads": Column("u4"),
        },
        signal="achieved",
        asked=("default", "mask", "target"),
    ),
    "events": Table(
        {
            "seq": CALL["seq"],
            "wall_time": CALL["wall_time"],
            "kind": Column("S32"),
            "part": Column("u2", meaning="a long text takes several records: this is number part of parts"),
            "parts": Column("u2"),
            "text": Column(f"S{TEXT_BYTES}", meaning="UTF-8, joined over the parts before decoding"),
        },
    ),
    "measurements": Table(
        {
            "seq": CALL["seq"],
            "wall_time": CALL["wall_time"],
            "name": Column("S64", meaning="of another instrument's quantity, UTF-8"),
            "unit": Column("S16", meaning="of value, UTF-8"),
            "value": Column("f8", "1", meaning="in the unit beside it"),
        },
        signal="value",
        required=False,
    ),
    "wire": Table(
        {
            "t_ns": Column(
                "u8", "ns", per="message", meaning="since the attribute started of the root", fill=NO_RECORD
            ),
            "direction": Column("u1", per="message", meaning="0 to the instrument, 1 from it"),
            "link": Column(
                "u2", per="message", meaning="the event of kind link with this number names it", required=False
            ),
            "offset": Column("u8", per="message", meaning="first byte of the message in data"),
            "length": Column("u8", per="message"),
            "data": Column("u1", per="byte"),
        },
        signal="data",
    ),
}
# The dimension that a dataset's first axis has, by what it counts: its scale is the dataset of that name.
SCALES = {"call": "seq", "vector": "vector_call", "read": "read_call", "cell": "cell_call", "message": "t_ns"}
CALIBRATION = {"gain": "1", "offset": "A", "residual": "A"}
"""Datasets of /arrays/N, with their units, of an array that had a calibration when the run began."""
# Attributes of the root: whether a file without them is no run.
ROOT_ATTRIBUTES = {
    "format": True,
    "format_version": True,
    "uuid": True,
    "created": True,
    "imssa_lab": True,
    "python": True,
    "numpy": True,
    "h5py": True,
    "provenance": True,
    "closed_cleanly": True,
    "started": False,
    "environment": False,
    "repaired": False,
    "provenance_sha256": False,
    "default": False,
}


def requests() -> list[str]:
    """The tables whose records are calls to an array, which a replay compares."""
    return [name for name, table in TABLES.items() if table.asked]


def commit_column(table: str) -> str:
    """The dataset that is written last: a record of this table is there once its row in it is."""
    return "seq" if "seq" in TABLES[table] else "t_ns"


@cache
def parts(table: str) -> str | None:
    """What the several rows of one call in this table are: "vector", "read", "cell", or None for a row a call."""
    return next((c.per for c in TABLES[table].values() if c.per in ("vector", "read", "cell")), None)
