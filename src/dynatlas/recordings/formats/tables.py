"""Recordings as Parquet or CSV tables: a column for each unit, a row for each sample."""

import ast
import csv
import re
from collections import Counter
from pathlib import Path
from typing import Any, Final

import pandas as pd

from dynatlas._io.sizes import Declared, check_bytes, check_sizes
from dynatlas._util.names import role_of
from dynatlas.errors import NetworkError
from dynatlas.recordings.formats.arranging import EXPECTED, arranged
from dynatlas.recordings.formats.series import Read
from dynatlas.recordings.formats.windows import Window

SAVED_INDEX: Final = re.compile(r"\s*|Unnamed:.*|__index_level_\d+__")  # column names of an unnamed index
LONGEST_LINE: Final = 50_000_000  # bytes
BLOCK: Final = 16_000_000  # bytes


def read_parquet(path: Path, window: Window | None = None) -> Read:
    """Read a Parquet file, after checking its size and its column types in the footer.

    An index that pandas stored is read as labels. Without a name it is only checked: rows that it puts in another order
    are refused, unless labels order them. Damage can crash the library that reads it: call this in a process of its
    own.

    Raises:
        NetworkError: damaged, too large, or without a column of numbers.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            about = schema.pandas_metadata or {}
            index = {name for name in about.get("index_columns", ()) if isinstance(name, str)}
            types = {field.name: field.type for field in schema}
            texts = [name for name, kind in types.items() if _is_text(kind, pa)]
        # Each distinct text is stored once: a long text repeated in many rows could take far more than the file.
        with pq.ParquetFile(path, read_dictionary=texts) as file:
            _check_footer(path, file.metadata, texts)
            flat = _flat_names(schema.names, len(about.get("column_indexes") or ()))
            unnamed = [name for name in index if SAVED_INDEX.fullmatch(name)]
            names = [name for name in schema.names if name not in unnamed]
            _refuse_names(path, [flat[name] for name in names])
            plain = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean)
            odd = [
                flat[name]
                for name in names
                if not any(is_plain(types[name]) for is_plain in plain)
                and not (
                    role_of(flat[name]) not in ("", "unit") and (name in texts or pa.types.is_temporal(types[name]))
                )
            ]
            if odd:
                raise NetworkError(f"{path} has columns that are not numeric: {', '.join(odd[:5])[:200]}; {EXPECTED}")
            table = file.read(use_threads=False).replace_schema_metadata(None)
            frame = table.select(names).to_pandas()
            rows = table.select(unnamed).to_pandas()
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, AttributeError, SyntaxError) as error:
        lines = str(error).splitlines()
        raise NetworkError(f"{path} is damaged or truncated: {(lines or [type(error).__name__])[0][:200]}") from None
    frame = frame.rename(columns=flat)
    refuse_transposed(path, [flat[name] for name in index - set(unnamed)])
    if not {role_of(name) for name in frame.columns} & {"trial", "time", "condition"}:
        refuse_unsorted(path, rows)
    return arranged(path, frame, window)


def read_csv(path: Path, window: Window | None = None) -> Read:
    """Read a CSV or TSV file whose first line names the columns; with semicolons, numbers may have decimal commas.

    Raises:
        NetworkError: not a table, too large, or without a column of numbers.
    """
    check_bytes(path, path.stat().st_size)
    names, separator, decimal = _checked_lines(path)
    _refuse_names(path, names)
    _refuse_numbers(path, names)
    try:
        frame = pd.read_csv(path, sep=separator, decimal=decimal, low_memory=False)
    except (ValueError, OSError, OverflowError, RecursionError, MemoryError) as error:
        lines = str(error).splitlines()
        raise NetworkError(f"{path} is not a table: {(lines or [type(error).__name__])[0][:200]}") from None
    if not isinstance(frame.index, pd.RangeIndex):
        raise NetworkError(f"{path} has more values in a row than names in its first line; name every column")
    return arranged(path, frame, window)


def refuse_unsorted(path: Path | str, index: pd.DataFrame) -> None:
    """Check that an index without a name does not put the rows in another order.

    Raises:
        NetworkError: it is neither increasing nor constant, as after shuffling or grouping.
    """
    for name in index.columns:
        if not pd.api.types.is_numeric_dtype(index[name]) or not index[name].is_monotonic_increasing:
            raise NetworkError(
                f"{path}: its rows are not in the order of their index, such as {str(index[name].iloc[0])[:40]} in the "
                "first; sort them (frame.sort_index()), name the index (trial, time), or drop it "
                "(frame.reset_index(drop=True))"
            )


def refuse_transposed(path: Path | str, index: list[str]) -> None:
    """Check that an index does not name units, which are columns.

    Raises:
        NetworkError: it does.
    """
    if units := [name for name in index if role_of(name) == "unit"]:
        raise NetworkError(
            f"{path}: its index {units[0]!r} names a unit for each row; expected a column for each unit: transpose it "
            "(frame.T)"
        )


def _checked_lines(path: Path) -> tuple[list[str], str, str]:
    """Check the size that a table would have, before it is read.

    Returns:
        The names in the first line, the separator, and the decimal point or comma.
    """
    with path.open("rb") as file:
        first = file.readline(LONGEST_LINE + 1)
        if len(first) > LONGEST_LINE:
            raise NetworkError(f"{path} is not a table: line 1 has more than {LONGEST_LINE:,} bytes")
        text = first.decode("utf-8-sig", errors="replace").rstrip("\r\n")
        separator, decimal = ("\t" if path.suffix.lower() == ".tsv" else ","), "."
        if separator == "," and ";" in text and "," not in text:
            separator = ";"
        try:
            names = next(csv.reader([text], delimiter=separator), [])
        except csv.Error as error:
            raise NetworkError(f"{path} is not a table: {error}") from None
        number, pending = 1, b""
        while block := file.read(BLOCK):
            complete, newline, pending = (pending + block).rpartition(b"\n")
            if len(pending) > LONGEST_LINE:
                raise NetworkError(f"{path} is not a table: a line has more than {LONGEST_LINE:,} bytes")
            _refuse_open_quotes(path, complete, number)
            number += complete.count(b"\n") + len(newline)
            if separator == ";" and b"," in block:
                decimal = ","
            check_sizes(path, {"table": Declared((number, max(len(names), 1)), 0)})
        _refuse_open_quotes(path, pending, number)
    return names, separator, decimal


def _refuse_open_quotes(path: Path, lines: bytes, number: int) -> None:
    """Check that quotation marks are closed in their line: else the rest of the file is one value."""
    for place, line in enumerate(lines.split(b"\n") if b'"' in lines else []):
        if line.count(b'"') % 2:
            raise NetworkError(
                f"{path} is not a table: a quotation mark in line {number + place + 1} is not closed there"
            )


def _flat_names(names: list[str], levels: int) -> dict[str, str]:
    """Return a name for each column; pandas stores names of several levels as tuples, written as text."""
    if levels < 2:
        return {name: name for name in names}
    return {name: "_".join(str(part) for part in _levels_of(name) if str(part)) for name in names}


def _levels_of(name: str) -> tuple[object, ...]:
    """Return the levels of a column's name that is written as a tuple; any other name is one level.

    Example:
        >>> _levels_of("('spikes', 7)"), _levels_of("(a"), _levels_of("(1)"), _levels_of("(" * 900)[0][:3]
        (('spikes', 7), ('(a',), ('(1)',), '(((')
    """
    try:
        parts = ast.literal_eval(name) if name.startswith("(") and len(name) < 1000 else name
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        parts = name
    return parts if isinstance(parts, tuple) else (name,)


def _is_text(kind: Any, pa: Any) -> bool:
    values = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(values) or pa.types.is_large_string(values))


def _check_footer(path: Path, footer: Any, texts: list[str]) -> None:
    """Check the memory that the table would take, before it is read."""
    groups = [footer.row_group(row) for row in range(footer.num_row_groups)]
    rows = max(footer.num_rows, sum(group.num_rows for group in groups))
    shape = (rows, footer.num_columns)
    check_sizes(path, {"table": Declared(shape, 8 * shape[0] * shape[1])})
    columns = [group.column(place) for group in groups for place in range(footer.num_columns)]
    check_sizes(path, {"table": Declared(shape, sum(column.total_uncompressed_size for column in columns))})
    # In this encoding a long text takes a few bytes if it has a prefix in common with the one before it.
    packed = {column.path_in_schema for column in columns if "DELTA_BYTE_ARRAY" in column.encodings} & set(texts)
    if packed:
        raise NetworkError(f"{path}: {min(packed)!r} is text in the encoding DELTA_BYTE_ARRAY; expected numbers")


def _refuse_names(path: Path, names: list[str]) -> None:
    """Check that names are unique and that no column is a saved index, which would be read as a unit."""
    counts = Counter(names)
    if twice := [name for name in names if counts[name] > 1 and name.strip()]:
        hint = "; if the file has several lines of names, join them to one"
        raise NetworkError(
            f"{path} has {counts[twice[0]]} columns called {twice[0][:80]!r}; expected unique names{hint}"
        )
    for place, name in enumerate(names):
        if SAVED_INDEX.fullmatch(name):
            raise NetworkError(
                f"{path}: column {place + 1} has no name ({name!r}), like an index that pandas saved; save the table "
                "with index=False, or name the column"
            )


def _refuse_numbers(path: Path, names: list[str]) -> None:
    """Check that the first line has names, not the first sample: only 0, 1, 2, … are units' numbers beyond doubt."""

    def number(name: str) -> float | None:
        try:
            return float(name)
        except ValueError:
            return None

    numbers = [number(name) for name in names]
    if None in numbers or not numbers:
        return
    first = numbers[0] or 0.0
    if numbers != [first + place for place in range(len(numbers))] or not all(
        name.strip().isdecimal() for name in names
    ):
        raise NetworkError(
            f"{path}: its first line has only numbers, such as {names[0][:40]!r}; expected names of the columns, such "
            "as unit_0, unit_1, …"
        )
