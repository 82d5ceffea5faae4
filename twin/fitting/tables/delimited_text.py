"""Text files of numbers in columns: what the fields are, in which line of the file; nothing is guessed or shifted."""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from dataclasses import dataclass
from pathlib import Path

from imssa_lab.contract.errors import ConfigError, DataError

BLANKS = " "
"""As a separator: any run of blanks and tabs."""
_OTHERS = (",", ";", "\t")
_DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+([eE][-+]?\d+)?")


@dataclass(frozen=True)
class Fields:
    """The fields of a text file without the blanks around them.

    Attributes:
        header: None where the file has none.
        rows: as text, every row as long as the header, or as the first row.
        lines: of each row, its line in the file, from 1.
    """

    header: list[str] | None
    rows: list[list[str]]
    lines: list[int]


def read_fields(path: Path, separator: str, *, names: int | None = None, headless: bool = False) -> Fields:
    """Read a text file, gzipped or not, in UTF-8 with or without a byte-order mark.

    Lines that begin with # are comments; the last comment before the numbers is the header where it has a name for
    each of them and no other header follows, which is how numpy.savetxt writes one.

    Args:
        separator: one character; `BLANKS` for any run of blanks.
        names: how many columns the caller has named for a file without header.
        headless: the file is a bare matrix, which has no header.

    Raises:
        ConfigError: no such file.
        DataError: it is no text, damaged or cut off, or a line has another number of fields than the header or the
            first line; the message names the line and the option that helps.
    """
    comment: list[str] | None = None
    rows: list[list[str]] = []
    lines: list[int] = []
    for line, fields in _split(path, _text(path), separator):
        if fields[0].startswith("#"):
            if not rows:
                comment = [fields[0].lstrip("# "), *fields[1:]]
            continue
        rows.append(fields)
        lines.append(line)
    if not rows:
        raise DataError(f"{path}: no line holds data")
    header: list[str] | None = None
    if names is None and not headless:
        if comment is not None and len(comment) == len(rows[0]) and _numbers(rows[0]) and not _numbers(comment):
            header = comment
        else:
            header, rows, lines = rows[0], rows[1:], lines[1:]
        if len(set(header)) < len(header):
            twice = next(name for name in header if header.count(name) > 1)
            raise DataError(f"{path}: two columns are called {twice!r}; give each its own name")
    expected = names if names is not None else len(header if header is not None else rows[0])
    what = "are named" if names is not None else "in the header" if header is not None else "in the first line"
    for line, fields in zip(lines, rows, strict=True):
        if len(fields) != expected:
            raise DataError(
                f"{path}, line {line}: {len(fields)} fields, {expected} {what}"
                f"{other_separator(header or [], separator) or _cure(fields, expected, separator)}"
            )
    return Fields(header, rows, lines)


def number(field: str, decimal: str) -> float:
    """A field as a number; NaN where it is empty.

    Raises:
        ValueError: it is no number.
    """
    text = field.replace(",", ".") if decimal == "," else field
    return float(text) if text else float("nan")


def decimal_hint(fields: list[str], decimal: str) -> str:
    """The option that helps where numbers are written with a decimal comma and read with a point; else empty."""
    with_comma = decimal == "." and any(_DECIMAL_COMMA.fullmatch(field) for field in fields)
    return "; are these decimal commas? add --decimal ," if with_comma else ""


def _text(path: Path) -> str:
    if not path.is_file():
        raise ConfigError(f"{path}: no such file")
    data = path.read_bytes()
    try:
        return (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8-sig")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is damaged or cut off: {error}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not text in UTF-8 ({error}); save it as such") from error


def _split(path: Path, text: str, separator: str) -> list[tuple[int, list[str]]]:
    """Lines that are not empty, each with its number and its fields."""
    lines = text.splitlines(keepends=True)
    if separator == BLANKS:
        return [(number, line.split()) for number, line in enumerate(lines, start=1) if line.strip()]
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=True, strict=True)
    try:
        return [
            (reader.line_num, [field.strip() for field in row])
            for row in reader
            if any(map(str.strip, row)) or len(row) > 1
        ]
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: {error}; look for an open quotation mark") from error


def _numbers(fields: list[str]) -> bool:
    """All fields are numbers or empty, and one is a number; a decimal comma will do."""
    try:
        found = [number(field, ",") for field in fields]
    except ValueError:
        return False
    return any(value == value for value in found)


def _cure(fields: list[str], expected: int, separator: str) -> str:
    if len(fields) == expected + 1 and not fields[-1]:
        return "; the line ends with a separator: remove it, or add one to the header"
    if len(fields) == 1 and separator != BLANKS:
        for other in _OTHERS:
            if other != separator and len(fields[0].split(other)) == expected:
                return f"; add --separator {other!r}"
    return "; every line needs as many fields, and decimal commas another separator than ,"


def other_separator(header: list[str], separator: str) -> str:
    """The option that helps where a header is one field that holds another separator; else empty."""
    for other in _OTHERS:
        if len(header) == 1 and other != separator and other in header[0]:
            commas = "" if other == "," else ", and --decimal , where numbers have decimal commas"
            return f"; its columns are separated by {other!r}? Add --separator {other!r}{commas}"
    return ""
