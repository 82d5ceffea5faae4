"""The tables of a run file as data: the writer makes them, the reader checks them, docs/log_format.md explains them."""

from __future__ import annotations

from dataclasses import dataclass

FORMAT = "imssa_lab run"
FORMAT_VERSION = 1
TEXT_BYTES = 1024
LIBVER = ("v110", "v110")


@dataclass(frozen=True)
class Column:
    """One dataset of a table.

    Attributes:
        dtype: numpy dtype; "code" stands for the run's ADC codes (or amperes without an ADC).
        unit: SI unit, "1" for counts and codes.
        dims: dimensions after the first: "row" (word lines), "col" (bit lines).
        per: what the first dimension counts: "call", or "vector" and "read" for the parts of a call.
        packed: compressed, one record a chunk; for maps that are mostly empty.
    """

    dtype: str
    unit: str = "1"
    dims: tuple[str, ...] = ()
    per: str = "call"
    packed: bool = False


_CALL = {
    "seq": Column("u8"),
    "array": Column("u2"),
    "device_time": Column("f8", "s"),
    "wall_time": Column("f8", "s"),
}
_MAP = ("row", "col")

TABLES: dict[str, dict[str, Column]] = {
    "read_mvm": {
        **_CALL,
        "first": Column("u8"),
        "count": Column("u4"),
        "vector_call": Column("u8", per="vector"),
        "voltage": Column("f8", "V", ("row",), per="vector"),
        "value": Column("code", "1", ("col",), per="vector"),
        "range": Column("u1", "1", ("col",), per="vector"),
    },
    "read_conductances": {
        **_CALL,
        "first": Column("u8"),
        "count": Column("u4"),
        "mask": Column("u1", "1", _MAP, packed=True),
        "read_call": Column("u8", per="read"),
        "value": Column("code", "1", _MAP, per="read", packed=True),
        "range": Column("u1", "1", _MAP, per="read", packed=True),
    },
    "pulses": {
        **_CALL,
        "kind": Column("S8"),
        "width": Column("f8", "s"),
        "voltage": Column("f8", "V", _MAP, packed=True),
        "gate": Column("f8", "V", _MAP, packed=True),
        "done": Column("u1"),
    },
    "waits": {**_CALL, "seconds": Column("f8", "s")},
    "calibrations": {
        **_CALL,
        "present": Column("u1"),
        "gain": Column("f8", "1", ("col",)),
        "offset": Column("f8", "A", ("col",)),
        "residual": Column("f8", "A", ("col",)),
        "date": Column("S32"),
    },
    "program": {
        **_CALL,
        "first_seq": Column("u8"),
        "chip_recipe": Column("u1"),
        "target": Column("f8", "S", _MAP, packed=True),
        "achieved": Column("f8", "S", _MAP, packed=True),
        "pulses": Column("i4", "1", _MAP, packed=True),
        "outcome": Column("u1", "1", _MAP, packed=True),
        "tolerance": Column("f8", "S"),
        "seconds": Column("f8", "s"),
        "reads": Column("u4"),
    },
    "events": {
        "seq": Column("u8"),
        "wall_time": Column("f8", "s"),
        "kind": Column("S32"),
        "part": Column("u2"),
        "parts": Column("u2"),
        "text": Column(f"S{TEXT_BYTES}"),
    },
    "wire": {
        "t_ns": Column("u8", "ns", per="message"),
        "direction": Column("u1", per="message"),
        "offset": Column("u8", per="message"),
        "length": Column("u8", per="message"),
        "data": Column("u1", per="byte"),
    },
}
SCALES = {"call": "seq", "vector": "vector_call", "read": "read_call", "message": "t_ns"}
REQUESTS = ("read_mvm", "read_conductances", "pulses", "waits", "calibrations")
