"""Recordings in memory: arrays whose masks, dimensions, indices and columns are honoured or refused."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dynatlas._util.names import role_of
from dynatlas.errors import NetworkError
from dynatlas.recordings.formats.arranging import arranged
from dynatlas.recordings.formats.axes import ordered
from dynatlas.recordings.formats.beside import with_others
from dynatlas.recordings.formats.series import Read
from dynatlas.recordings.formats.tables import refuse_transposed, refuse_unsorted
from dynatlas.recordings.formats.windows import Window


def plain(values: Any, name: str, window: Window | None = None) -> Read:
    """Return a recording as a NumPy array [trials, time, units] or [samples, units], and how it was read.

    Masked values become NaN, which ``align`` refuses. Axes of xarray are put in order by their names. Columns and index
    of a DataFrame are read as those of a file.

    Args:
        values: an array of NumPy, JAX, PyTorch or xarray, or a list of one for each trial; or a DataFrame.
        name: name of the recording, for errors.
        window: the part of each trial that is read, of a DataFrame with trials and times.

    Raises:
        NetworkError: labels that are ambiguous or unknown, or trials of different shapes.

    Example:
        >>> frame = pd.DataFrame({"trial": [1, 0], "unit_0": [5.0, 3.0], "unit_1": [6, 4]})
        >>> plain(frame, "r")[0].tolist()
        [[[3.0, 4.0]], [[5.0, 6.0]]]
    """
    if hasattr(values, "data_vars"):
        raise NetworkError(f"{name} is a Dataset of {', '.join(map(str, values.data_vars))[:200]}; choose one variable")
    if not isinstance(values, pd.DataFrame) and hasattr(values, "to_pandas") and hasattr(values, "columns"):
        values = values.to_pandas()
    if isinstance(values, pd.DataFrame):
        return arranged(name, _with_index(values, name), window)
    if hasattr(values, "dims") and hasattr(values, "coords"):
        return _with_coordinates(values, name, window)
    if window is not None:
        raise NetworkError(f"{name} is an array without times and events for the window; cut its trials")
    return _array(values, name), ()


def _array(values: Any, name: str) -> NDArray[Any]:
    """Return an array, or a list of one for each trial, with NaN for what is masked."""
    if isinstance(values, np.ma.MaskedArray) and values.mask.any():
        return np.where(values.mask, np.nan, values.data)
    if isinstance(values, list | tuple):
        values = [_array(trial, name) if isinstance(trial, np.ma.MaskedArray) else trial for trial in values]
    try:
        return np.asarray(values)
    except ValueError:
        raise NetworkError(
            f"{name} is a list of trials of different shapes; cut each to the same window around an event, or use a "
            "table with columns for trial, time and the event, and set align and window"
        ) from None


def _with_coordinates(values: Any, name: str, window: Window | None) -> Read:
    """Return an array of xarray with its axes in order, sorted by their coordinates and by labels along them."""
    coordinates = {str(axis): np.asarray(each) for axis, each in values.coords.items()}
    axes = [str(axis) for axis in values.dims]
    along = {axis: each for axis, each in coordinates.items() if axis in axes}
    beside = {one: each for one, each in coordinates.items() if one not in axes}
    array, facts = ordered(name, np.asarray(values), axes, along)
    array, sorted_by = with_others(name, "values", array, beside, window)
    return array, (*facts, *sorted_by)


def _with_index(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return the frame with the levels of its index as columns, and each column's levels joined to one name."""
    if frame.columns.nlevels > 1:
        flat = ["_".join(str(part) for part in parts if str(part)) for parts in frame.columns]
        frame = frame.set_axis(flat, axis=1)
    frame = frame.set_axis([str(column) for column in frame.columns], axis=1)
    index = frame.index.to_frame(index=False)
    levels = [level for level in frame.index.names if level is not None]
    refuse_transposed(name, [str(level) for level in levels])
    labels = [str(column) for column in (*levels, *frame.columns)]
    if len(set(labels)) < len(labels):
        raise NetworkError(
            f"{name} has several columns called {max(labels, key=labels.count)!r}; expected unique names"
        )
    if not {role_of(label) for label in labels} & {"trial", "time", "condition"}:
        unnamed = [place for place, level in enumerate(frame.index.names) if level is None]
        refuse_unsorted(name, index.iloc[:, unnamed])
    named = index[levels].set_axis([str(level) for level in levels], axis=1)
    return pd.concat([named, frame.reset_index(drop=True)], axis=1)
