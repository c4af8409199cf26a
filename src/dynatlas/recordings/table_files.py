"""Recordings as tables, Parquet or CSV: a column for each unit, a row for each sample.

Columns called trial, condition, time or step, however capitalised, are labels and no units: with a trial, or a
condition and a time, the rows become [trials, time, units] in their order; with a condition alone they are put in its
order. Which row is which sample is never guessed: labels that leave it open are refused.
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


SAVED_INDEX: Final = re.compile(r"\s*|Unnamed:.*|__index_level_\d+__")  # the name of an index that has none


EXPECTED: Final = f"expected a column for each unit, and labels called {', '.join(LABELS)}"


def read_parquet(path: Path) -> Read:
    """A Parquet file; its size and the types of its columns are checked in its footer.

    Of an index that pandas stored, only labels are read.

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
        # Each text is kept once: written out, a long one in each of many rows would take far more than the file.
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
                raise NetworkError(f"{path} has columns that are no numbers: {', '.join(odd[:5])}; {EXPECTED}")
            frame = file.read(use_threads=False).select(names).replace_schema_metadata(None).to_pandas()
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise NetworkError(f"{path} is damaged or truncated: {str(error).splitlines()[0]}") from None
    return arranged(path, frame)


def read_csv(path: Path) -> Read:
    """A CSV file, or with tabs a TSV file; its first line names the columns.

    Raises:
        NetworkError: not such a file, too large, or without a column of numbers.
    """
    if path.stat().st_size > MAX_BYTES:
        raise NetworkError(f"{path} takes {path.stat().st_size:.3g} bytes; expected at most {MAX_BYTES:.3g}")
    try:
        frame = pd.read_csv(path, sep="\t" if path.suffix.lower() == ".tsv" else ",", low_memory=False)
    except (ValueError, OSError) as error:
        raise NetworkError(f"{path} is no table: {str(error).splitlines()[0]}") from None
    if not isinstance(frame.index, pd.RangeIndex):
        raise NetworkError(f"{path} has more numbers in a row than names in its first line; name every column")
    return arranged(path, frame)


def arranged(path: Path, frame: pd.DataFrame) -> Read:
    """A table's units, by trial (or condition) and time where it says so.

    Raises:
        NetworkError: a column that is neither a number nor a label, labels that leave the order open, or trials that
            differ in length.
    """
    _refuse_names(path, [str(name) for name in frame.columns])
    labels = {_label(str(name)): frame[name] for name in frame.columns if _label(str(name))}
    units = frame[[name for name in frame.columns if not _label(str(name))]]
    odd = [str(name) for name, kind in units.dtypes.items() if not pd.api.types.is_numeric_dtype(kind)]
    if odd or not len(units.columns):
        seen = f"columns that are no numbers: {', '.join(odd[:5])}" if odd else "no column of numbers"
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
        facts.append(f"rows in the order of {' and '.join(order)}{', trials as they first appear' if is_text else ''}")
        if outer == "trial" or (outer and times):
            lengths = keys[outer].value_counts().unique()
            if len(lengths) != 1:
                raise NetworkError(
                    f"{path}: its {outer}s have {min(lengths, default=0)} to {max(lengths, default=0)} rows; a probe's "
                    "trials are equally long, so cut or stretch them to one length"
                )
            values = values.reshape(-1, int(lengths[0]), values.shape[1])
    return values, tuple(facts)


def _label(name: str) -> str:
    """Which label a column's name is; none of a unit."""
    plain = name.strip().lower()
    return plain if plain in LABELS else ""


def _is_text(kind: Any, pa: Any) -> bool:
    values = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(values) or pa.types.is_large_string(values))


def _check_footer(path: Path, footer: Any, texts: list[str]) -> None:
    """Refuse what would take too much, before it is read."""
    shape = (footer.num_rows, footer.num_columns)
    check_sizes(path, {"table": Declared(shape, 8 * shape[0] * shape[1])})
    columns = [footer.row_group(row).column(place) for row in range(footer.num_row_groups) for place in range(shape[1])]
    check_sizes(path, {"table": Declared(shape, sum(column.total_uncompressed_size for column in columns))})
    # In this encoding a long text takes a few bytes if it begins as the one before it.
    packed = [column.path_in_schema for column in columns if "DELTA_BYTE_ARRAY" in column.encodings]
    if set(packed) & set(texts):
        raise NetworkError(f"{path}: {packed[0]!r} is text in the encoding DELTA_BYTE_ARRAY; expected numbers")


def _refuse_names(path: Path, names: list[str]) -> None:
    """An index that was saved as a column would pass for a unit."""
    for place, name in enumerate(names):
        if SAVED_INDEX.fullmatch(name):
            raise NetworkError(
                f"{path}: column {place + 1} has no name ({name!r}), as an index has that pandas saved; save the table "
                "with index=False, or name the column"
            )
    known = [_label(name) or name for name in names]
    if twice := [name for name in known if known.count(name) > 1]:
        raise NetworkError(f"{path} has {len(twice)} columns called {twice[0]!r}; expected different names")


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
    """What rows are sorted by: a label's numbers; of trials with names, the order in which they appear."""
    if label.isna().any():
        raise NetworkError(f"{path}: {name} is empty in {int(label.isna().sum())} rows; expected one in every row")
    if _is_ordered(label):
        return label
    if name == "trial":
        return pd.Series(pd.factorize(label)[0], label.index)
    said = "their numbers in the probe's condition, from 0 on" if name == "condition" else "numbers"
    raise NetworkError(
        f"{path}: {name} is text, such as {str(label.iloc[0])[:40]!r}, whose order is unknown; expected {said}"
    )


def _refuse_repeats(path: Path, keys: pd.DataFrame, outer: str | None) -> None:
    """Rows of one label are in no order; but those of a trial, without a time, are in the order of the file."""
    if list(keys.columns) == ["trial"] or not keys.duplicated().any():
        return
    first = keys[keys.duplicated()].iloc[0]
    seen = " and ".join(f"{name} {value}" for name, value in first.items())
    hint = {
        None: "name the trial column 'trial'",
        "condition": "expected one row of each: average over its trials, or name the trial column 'trial'",
        "trial": "expected one row of each: number the trials through",
    }[outer]
    raise NetworkError(f"{path} has several rows of {seen}; {hint}")
