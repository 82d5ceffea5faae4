"""The tables of a run file as data: the writer makes them, the reader checks them, docs/log_format.md lists them."""

from __future__ import annotations

from dataclasses import dataclass

FORMAT = "imssa_lab run"
FORMAT_VERSION = 1
LIBVER = ("v110", "v110")
TEXT_BYTES = 512


@dataclass(frozen=True)
class Column:
    """One dataset of a table.

    Attributes:
        dtype: numpy dtype; "code" stands for the run's ADC codes (or amperes without an ADC).
        unit: SI unit, "1" for counts and codes.
        dims: dimensions after the first: "row" (word lines), "col" (bit lines).
        per: what the first dimension counts: "call", or "vector", "read", "message", "byte" for parts of one.
        meaning: what the numbers of a code stand for.
    """

    dtype: str
    unit: str = "1"
    dims: tuple[str, ...] = ()
    per: str = "call"
    meaning: str = ""


PULSE_KINDS = ("SET", "RESET", "FORM")
_CALL = {
    "seq": Column("u8", meaning="number of the call, one count over all tables and arrays"),
    "array": Column("u2", meaning="index into /arrays"),
    "device_time": Column("f8", "s", meaning="the array's own time after the call"),
    "wall_time": Column("f8", "s", meaning="seconds since 1970, UTC"),
}
_PARTS = {
    "first": Column("u8", meaning="first row of this call in the datasets that hold several rows a call"),
    "count": Column("u4", meaning="how many rows there are"),
}
_MAP = ("row", "col")
_YES_NO = "0 no, 1 yes"

TABLES: dict[str, dict[str, Column]] = {
    "read_mvm": {
        **_CALL,
        **_PARTS,
        "vector_call": Column("u8", per="vector", meaning="seq of the call that a vector belongs to"),
        "voltage": Column("f8", "V", ("row",), per="vector"),
        "value": Column("code", "1", ("col",), per="vector"),
        "range": Column("u1", "1", ("col",), per="vector", meaning="index into the scale and offset of the ADC"),
    },
    "read_conductances": {
        **_CALL,
        **_PARTS,
        "mask": Column("u1", "1", _MAP, meaning=_YES_NO),
        "read_call": Column("u8", per="read", meaning="seq of the call that a read belongs to"),
        "value": Column("code", "1", _MAP, per="read"),
        "range": Column("u1", "1", _MAP, per="read", meaning="index into the scale and offset of the ADC"),
    },
    "pulses": {
        **_CALL,
        "kind": Column("u1", meaning=", ".join(f"{code} {kind}" for code, kind in enumerate(PULSE_KINDS))),
        "width": Column("f8", "s"),
        "voltage": Column("f8", "V", _MAP, meaning="NaN: left alone"),
        "gate": Column("f8", "V", _MAP, meaning="NaN: left alone"),
        "done": Column("u1", meaning="0 may have been sent, 1 sent to the end"),
    },
    "waits": {**_CALL, "seconds": Column("f8", "s")},
    "calibrations": {
        **_CALL,
        "cleared": Column("u1", meaning=_YES_NO),
        "gain": Column("f8", "1", ("col",)),
        "offset": Column("f8", "A", ("col",)),
        "residual": Column("f8", "A", ("col",)),
        "date": Column("S32"),
    },
    "program": {
        **_CALL,
        "first_seq": Column("u8", meaning="the calls made inside have first_seq <= seq < last_seq"),
        "last_seq": Column("u8", meaning="one past the last call made inside"),
        "default": Column("u1", meaning="1: by the chip's own recipe"),
        "mask": Column("u1", "1", _MAP, meaning=_YES_NO),
        "target": Column("f8", "S", _MAP),
        "achieved": Column("f8", "S", _MAP, meaning="by an independent re-read"),
        "pulses": Column("i4", "1", _MAP),
        "outcome": Column("u1", "1", _MAP, meaning="imssa_lab.hal.CellOutcome"),
        "tolerance": Column("f8", "S"),
        "seconds": Column("f8", "s"),
        "reads": Column("u4"),
    },
    "events": {
        "seq": _CALL["seq"],
        "wall_time": _CALL["wall_time"],
        "kind": Column("S32"),
        "part": Column("u2", meaning="a long text takes several records: this is number part of parts"),
        "parts": Column("u2"),
        "text": Column(f"S{TEXT_BYTES}", meaning="UTF-8, joined over the parts before decoding"),
    },
    "wire": {
        "t_ns": Column("u8", "ns", per="message", meaning="since the start of the run"),
        "direction": Column("u1", per="message", meaning="0 to the instrument, 1 from it"),
        "offset": Column("u8", per="message", meaning="first byte of the message in data"),
        "length": Column("u8", per="message"),
        "data": Column("u1", per="byte"),
    },
}
# The dimension that a dataset's first axis has, by what it counts: its scale is the dataset of that name.
SCALES = {"call": "seq", "vector": "vector_call", "read": "read_call", "message": "t_ns"}
REQUESTS = ("read_mvm", "read_conductances", "pulses", "waits", "calibrations", "program")


def parts(table: str) -> str | None:
    """What the several rows of one call in this table are: "vector", "read", or None for a row a call."""
    return next((c.per for c in TABLES[table].values() if c.per in ("vector", "read")), None)
