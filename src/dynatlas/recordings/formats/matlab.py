"""Recordings in MATLAB files: a matrix, or a cell array or an array of structures with a matrix for each trial.

rates [samples, units] or [trials, time, units]     rates{trial} [time, units]     data(trial).rates [time, units]
"""

from pathlib import Path

import numpy as np

from dynatlas._io.matlab import Variable, matlab_variables
from dynatlas._io.untrusted import AnyArray
from dynatlas._util.messages import count_of
from dynatlas.errors import NetworkError
from dynatlas.recordings.formats.beside import names_beside, with_others
from dynatlas.recordings.formats.series import Read, choose
from dynatlas.recordings.formats.windows import Window

Shape = tuple[int, ...]


def read_matlab_recording(path: Path, series: str | None, window: Window | None = None) -> Read:
    """Read one variable of a MATLAB file, with the labels beside it.

    Raises:
        NetworkError: no variable of numbers or several have the name, trials of different lengths, or the file is
            damaged or too large.
    """
    with matlab_variables(path, lambda name: False) as found:
        _refuse_kind(path, found, series)
        shapes = {name: _shape(one) for name, one in found.items() if one.kind in ("numbers", "cells")}
        name = choose(path, shapes, series)
        values, facts = _values(path, name, found[name])
        struct = name.rpartition(".")[0]
        near = {one: shape for one, shape in shapes.items() if one.rpartition(".")[0] == struct} | {name: values.shape}
        near = {one: shape for one, shape in near.items() if one == name or len(set(found[one].shapes)) == 1}
        others = {one: _label(found[one]) for one in names_beside(name, near)}
    values, sorted_by = with_others(path, name, values, others, window)
    return values, (f"variable {name}", *facts, *sorted_by)


def _refuse_kind(path: Path, found: dict[str, Variable], series: str | None) -> None:
    """Check that the named variable holds numbers; if none is named, that any does."""
    kinds = {name: one.kind for name, one in found.items() if one.kind not in ("numbers", "cells", "text")}
    if series in kinds or (series is None and kinds and len(kinds) == len(found)):
        name = series if series in kinds else next(iter(kinds))
        raise NetworkError(
            f"{path}: {name!r} is {kinds[name]}; expected real numbers: a matrix [samples, units] or "
            "[trials, time, units], or a cell array with [time, units] for each trial"
        )


def _label(variable: Variable) -> AnyArray:
    """Return a variable as one array: a number in each cell is a vector."""
    loaded = variable.load()
    return np.array(loaded[0] if variable.kind == "numbers" else loaded)


def _shape(variable: Variable) -> Shape:
    """Return the shape for the choice: one axis for [n, 1], and for cells of vectors."""
    first = variable.shapes[0]
    is_vector = len(first) == 2 and 1 in first
    if variable.kind == "numbers":
        return (max(first),) if is_vector else first
    return (len(variable.shapes),) if is_vector else (len(variable.shapes), *first)


def _values(path: Path, name: str, variable: Variable) -> tuple[AnyArray, tuple[str, ...]]:
    """Return the values of a variable; cells are trials."""
    if variable.kind == "numbers":
        return variable.load()[0], ()
    sizes = set(variable.shapes)
    if len(sizes) > 1:
        lengths = sorted({shape[0] for shape in sizes})
        widths = sorted({shape[1] for shape in sizes})
        of_time = (
            f"{lengths[0]} to {lengths[-1]} rows" if len(widths) == 1 else f"the sizes {sorted(sizes)[:3]} and others"
        )
        raise NetworkError(
            f"{path}: the {count_of(len(variable.shapes), 'cell')} of {name!r} have {of_time}; expected [time, units] "
            "for each trial, of equal lengths, as in a probe: cut the trials to one window, or resample them to one "
            "length; count spike times in bins"
        )
    fact = f"{count_of(len(variable.shapes), 'cell')} of {' × '.join(map(str, variable.shapes[0]))}, taken as trials"
    return np.stack(variable.load()), (fact,)
