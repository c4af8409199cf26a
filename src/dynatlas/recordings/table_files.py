"""Recordings as Parquet or CSV tables: a column for each unit, a row for each sample.

Columns called trial, condition, time or step, in upper or lower case, are labels, not units. Rows with a trial, or with
a condition and a time, are sorted into [trials, time, units]; rows with only a condition are sorted by it. The order is
never guessed: ambiguous labels are refused.
"""

import re
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dynatlas._io.untrusted import MAX_BYTES, Declared, check_sizes
from dynatlas.errors import NetworkError
from dynatlas.recordings.series import Read

TIMES: Final = ("time", "step")
LABELS: Final = ("trial", "condition", *TIMES)
SAVED_INDEX: Final = re.compile(r"\s*|Unnamed:.*|__index_level_\d+__")  # column names of an unnamed index
EXPECTED: Final = f"expected a column for each unit, and labels called {', '.join(LABELS)}"


def read_parquet(path: Path) -> Read:
    """Read a Parquet file, after checking its size and its column types in the footer.

    An index that pandas stored is read only if it is a label.

    Raises:
        NetworkError: damaged, too large, or without a column of numbers.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            index = {name for name in (schema.pandas_metadata or {}).get("index_columns", ()) if isinstance(name, str)}
            texts = [field.name for field in schema if _is_text(field.type, pa)]
        # Each distinct text is stored once: a long text repeated in many rows could take far more than the file.
        with pq.ParquetFile(path, read_dictionary=texts) as file:
            _check_footer(path, file.metadata, texts)
            names = [name for name in schema.names if name not in index or _label(name)]
            _refuse_names(path, names)
            plain = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean)
            odd = [
                name
                for name in names
                if not any(is_plain(schema.field(name).type) for is_plain in plain)
                and not (_label(name) and (name in texts or pa.types.is_temporal(schema.field(name).type)))
            ]
            if odd:
                raise NetworkError(f"{path} has columns that are not numeric: {', '.join(odd[:5])}; {EXPECTED}")
            frame = file.read(use_threads=False).select(names).replace_schema_metadata(None).to_pandas()
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise NetworkError(f"{path} is damaged or truncated: {str(error).splitlines()[0]}") from None
    return arranged(path, frame)


def read_csv(path: Path) -> Read:
    """Read a CSV or TSV file whose first line names the columns.

    Raises:
        NetworkError: not a table, too large, or without a column of numbers.
    """
    if path.stat().st_size > MAX_BYTES:
        raise NetworkError(f"{path} takes {path.stat().st_size:.3g} bytes; expected at most {MAX_BYTES:.3g}")
    try:
        frame = pd.read_csv(path, sep="\t" if path.suffix.lower() == ".tsv" else ",", low_memory=False)
    except (ValueError, OSError) as error:
        raise NetworkError(f"{path} is not a table: {str(error).splitlines()[0]}") from None
    if not isinstance(frame.index, pd.RangeIndex):
        raise NetworkError(f"{path} has more values in a row than names in its first line; name every column")
    return arranged(path, frame)


def arranged(path: Path, frame: pd.DataFrame) -> Read:
    """Return a table's units, sorted by trial or condition and by time if it has these labels.

    Raises:
        NetworkError: a column that is neither numeric nor a label, ambiguous labels, or trials of different lengths.
    """
    _refuse_names(path, [str(name) for name in frame.columns])
    labels = {_label(str(name)): frame[name] for name in frame.columns if _label(str(name))}
    units = frame[[name for name in frame.columns if not _label(str(name))]]
    odd = [str(name) for name, kind in units.dtypes.items() if not pd.api.types.is_numeric_dtype(kind)]
    if odd or not len(units.columns):
        seen = f"columns that are not numeric: {', '.join(odd[:5])}" if odd else "no column of numbers"
        raise NetworkError(f"{path} has {seen}; {EXPECTED}")
    facts = [f"columns as units: {len(units.columns)}"]
    values: NDArray[np.float64] = units.to_numpy(np.float64)
    outer = next((name for name in ("trial", "condition") if name in labels), None)
    times = [name for name in TIMES if name in labels]
    if order := [*([outer] if outer else []), *times]:
        keys = pd.DataFrame({name: _key(path, name, labels[name]) for name in order})
        _refuse_repeats(path, keys, outer)
        values = values[keys.sort_values(order, kind="stable").index]
        is_text = outer == "trial" and not _is_ordered(labels["trial"])
        first = ", trials in order of first appearance" if is_text else ""
        facts.append(f"rows in the order of {' and '.join(order)}{first}")
        if outer == "trial" or (outer and times):
            lengths = keys[outer].value_counts().unique()
            if len(lengths) != 1:
                raise NetworkError(
                    f"{path}: its {outer}s have {min(lengths, default=0)} to {max(lengths, default=0)} rows; expected "
                    f"equal lengths, as in a probe: cut or resample the {outer}s to one length"
                )
            values = values.reshape(-1, int(lengths[0]), values.shape[1])
    return values, tuple(facts)


def _label(name: str) -> str:
    """Return the label that a column name denotes; "" for a unit."""
    plain = name.strip().lower()
    return plain if plain in LABELS else ""


def _is_text(kind: Any, pa: Any) -> bool:
    values = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(values) or pa.types.is_large_string(values))


def _check_footer(path: Path, footer: Any, texts: list[str]) -> None:
    """Check the memory that the table would take, before it is read."""
    shape = (footer.num_rows, footer.num_columns)
    check_sizes(path, {"table": Declared(shape, 8 * shape[0] * shape[1])})
    columns = [footer.row_group(row).column(place) for row in range(footer.num_row_groups) for place in range(shape[1])]
    check_sizes(path, {"table": Declared(shape, sum(column.total_uncompressed_size for column in columns))})
    # In this encoding a long text takes a few bytes if it has a prefix in common with the one before it.
    packed = [column.path_in_schema for column in columns if "DELTA_BYTE_ARRAY" in column.encodings]
    if set(packed) & set(texts):
        raise NetworkError(f"{path}: {packed[0]!r} is text in the encoding DELTA_BYTE_ARRAY; expected numbers")


def _refuse_names(path: Path, names: list[str]) -> None:
    """Check that names are unique and that no column is a saved index, which would be read as a unit."""
    for place, name in enumerate(names):
        if SAVED_INDEX.fullmatch(name):
            raise NetworkError(
                f"{path}: column {place + 1} has no name ({name!r}), like an index that pandas saved; save the table "
                "with index=False, or name the column"
            )
    known = [_label(name) or name for name in names]
    if twice := [name for name in known if known.count(name) > 1]:
        raise NetworkError(f"{path} has {len(twice)} columns called {twice[0]!r}; expected unique names")


def _is_ordered(label: pd.Series) -> bool:
    return any(
        is_kind(label.dtype)
        for is_kind in (
            pd.api.types.is_numeric_dtype,
            pd.api.types.is_datetime64_any_dtype,
            pd.api.types.is_timedelta64_dtype,
        )
    )


def _key(path: Path, name: str, label: pd.Series) -> pd.Series:
    """Return the sort key of a label: its numbers, or for named trials their order of first appearance."""
    if label.isna().any():
        raise NetworkError(f"{path}: {name} is empty in {int(label.isna().sum())} rows; expected one in every row")
    if _is_ordered(label):
        return label
    if name == "trial":
        return pd.Series(pd.factorize(label)[0], label.index)
    expected = "their numbers in the probe's condition, from 0" if name == "condition" else "numbers"
    raise NetworkError(
        f"{path}: {name} is text, such as {str(label.iloc[0])[:40]!r}, whose order is unknown; expected {expected}"
    )


def _refuse_repeats(path: Path, keys: pd.DataFrame, outer: str | None) -> None:
    """Check that no two rows have the same labels, except rows of a trial without times, ordered as in the file."""
    if list(keys.columns) == ["trial"] or not keys.duplicated().any():
        return
    first = keys[keys.duplicated()].iloc[0]
    seen = " and ".join(f"{name} {value}" for name, value in first.items())
    hint = {
        None: "name the trial column 'trial'",
        "condition": "expected one row for each: average over its trials, or name the trial column 'trial'",
        "trial": "expected one row for each: number the trials consecutively",
    }[outer]
    raise NetworkError(f"{path} has several rows of {seen}; {hint}")
