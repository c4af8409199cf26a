"""Recordings as tables, Parquet or CSV: a column for each unit, a row for each sample.

Columns called trial, condition, time or step are labels and no units: with a trial, or a condition and a time, the rows
become [trials, time, units] in their order; with a condition alone they are put in its order.
"""

from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dynatlas.errors import NetworkError
from dynatlas.networks.files import MOST_BYTES, Declared, checked
from dynatlas.recordings.hdf5_series import Read

TIMES: Final = ("time", "step")
LABELS: Final = ("trial", "condition", *TIMES)


def read_parquet(path: Path) -> Read:
    """A Parquet file; its size is checked in its footer.

    Raises:
        NetworkError: damaged, too large, or without a column of numbers.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            rows, columns = file.metadata.num_rows, file.metadata.num_columns
            shape = (rows, columns)
            checked(path, {"table": Declared(shape, 8 * rows * columns)})
            groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
            stored = sum(group.column(place).total_uncompressed_size for group in groups for place in range(columns))
            checked(path, {"table": Declared(shape, stored)})
            frame = file.read(use_threads=False).to_pandas()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise NetworkError(f"{path} is damaged or truncated: {str(error).splitlines()[0]}") from None
    return arranged(path, frame)


def read_csv(path: Path) -> Read:
    """A CSV file, or with tabs a TSV file; its first line names the columns.

    Raises:
        NetworkError: not such a file, too large, or without a column of numbers.
    """
    if path.stat().st_size > MOST_BYTES:
        raise NetworkError(f"{path} takes {path.stat().st_size:.3g} bytes; expected at most {MOST_BYTES:.3g}")
    try:
        frame = pd.read_csv(path, sep="\t" if path.suffix.lower() == ".tsv" else ",", low_memory=False)
    except (ValueError, OSError) as error:
        raise NetworkError(f"{path} is no table: {str(error).splitlines()[0]}") from None
    return arranged(path, frame)


def arranged(path: Path, frame: pd.DataFrame) -> Read:
    """A table's units, by trial (or condition) and time where it says so.

    Raises:
        NetworkError: a column that is neither a number nor a label, or trials that differ in length.
    """
    labels = [name for name in LABELS if name in frame.columns]
    units = frame.drop(columns=labels)
    odd = [str(name) for name, kind in units.dtypes.items() if not pd.api.types.is_numeric_dtype(kind)]
    if odd or not len(units.columns):
        seen = f"columns that are no numbers: {', '.join(odd[:5])}" if odd else "no column of numbers"
        raise NetworkError(f"{path} has {seen}; expected a column for each unit, and labels called {', '.join(LABELS)}")
    facts = [f"columns as units: {len(units.columns)}"]
    outer = next((name for name in ("trial", "condition") if name in labels), None)
    times = [name for name in TIMES if name in labels]
    if order := [*([outer] if outer else []), *times]:
        units = units.loc[frame.sort_values(order, kind="stable").index]
        facts.append(f"rows in the order of {' and '.join(order)}")
    values: NDArray[np.float64] = units.to_numpy(np.float64)
    if outer == "trial" or (outer and times):
        lengths = frame[outer].value_counts().unique()
        if len(lengths) != 1 or frame[outer].isna().any():
            raise NetworkError(
                f"{path}: its {outer}s have {min(lengths, default=0)} to {max(lengths, default=0)} rows; a probe's "
                "trials are equally long, so cut or stretch them to one length"
            )
        values = values.reshape(-1, int(lengths[0]), values.shape[1])
    return values, tuple(facts)
