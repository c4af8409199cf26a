"""Conversion of tables and arrays to JSON values: rounded, and None instead of NaN."""

import math
from typing import Any

import numpy as np
import pandas as pd

from dynatlas._util.json import Json


def rounded(values: Any, digits: int = 4) -> list[Any]:
    """Return nested lists of numbers, rounded to this many digits of the largest; None where not finite."""
    array = np.asarray(values, np.float64)
    finite = np.abs(array[np.isfinite(array)])
    largest = float(finite.max()) if finite.size else 0.0
    places = digits - 1 - math.floor(math.log10(largest)) if largest > 0 else digits
    return _without_nan(np.round(array, places).tolist())


def cells(column: "pd.Series[Any]", digits: int = 6) -> list[Any]:
    """Return a column of a table: each number rounded separately, None where not finite, lists as text."""
    if pd.api.types.is_bool_dtype(column) or pd.api.types.is_integer_dtype(column):
        return list(column.tolist())
    if pd.api.types.is_float_dtype(column):
        return [float(f"{value:.{digits}g}") if math.isfinite(value) else None for value in column.tolist()]
    return [_cell(value) for value in column]


def records(table: pd.DataFrame) -> list[Json]:
    """Return the rows of a table as dictionaries."""
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple | np.ndarray):
        return " ".join(f"{item:.6g}" for item in value)
    return "" if value is None else str(value)


def _without_nan(values: Any) -> Any:
    if isinstance(values, list):
        return [_without_nan(value) for value in values]
    return values if math.isfinite(values) else None
