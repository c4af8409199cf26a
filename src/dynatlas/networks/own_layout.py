"""Our own cells as plain arrays: every field by its name, and the names of architecture and activation."""

from collections.abc import Mapping
from typing import Any, Final

import jax
import numpy as np
from numpy.typing import NDArray

from dynatlas.cells import ACTIVATIONS, BUILT_IN, CELLS, Cell, StagedCell
from dynatlas.errors import NetworkError

NAMES: Final = ("architecture", "activation")


def one_of_ours(cell: Cell) -> StagedCell:
    """The cell, if it is of one of our four kinds.

    Raises:
        NetworkError: it is not, so that a file of its fields would mean nothing without its code.
    """
    if isinstance(cell, StagedCell) and any(type(cell) is CELLS[name] for name in BUILT_IN):
        return cell
    raise NetworkError(
        f"a {type(cell).__name__} is not one of dynatlas' own cells, and a file of its weights would mean nothing "
        "without its code; atlas.network(…) gives the cell itself"
    )


def cell_arrays(cell: StagedCell) -> dict[str, NDArray[Any]]:
    """The fields of a cell, by their names.

    Example:
        >>> cell = CELLS["gru"](2, 3, 1, key=jax.random.key(0))
        >>> sorted(cell_arrays(cell))[:4]
        ['activation', 'architecture', 'bias', 'initial_state']
    """
    names = {"architecture": type(cell).__name__.lower(), "activation": cell.activation}
    fields = {path[-1].name: np.asarray(leaf) for path, leaf in jax.tree_util.tree_flatten_with_path(cell)[0]}
    return fields | {name: np.array(value) for name, value in names.items()}


def cell_of(arrays: Mapping[str, Any]) -> Cell:
    """The cell that ``cell_arrays`` took apart.

    Raises:
        NetworkError: no such architecture or activation, a field that is missing or has another shape.
    """
    architecture, activation = (str(arrays.get(name, "")) for name in NAMES)
    for seen, known in ((architecture, [name for name in CELLS if name in BUILT_IN]), (activation, list(ACTIVATIONS))):
        if seen not in known:
            raise NetworkError(f"the file names {seen!r}; expected one of {', '.join(known)}")
    for name, dimensions in (("input_weights", 2), ("readout_weights", 2)):
        if name not in arrays or arrays[name].ndim != dimensions:
            raise NetworkError(f"the file has no {name} of {dimensions} axes; expected the fields of a {architecture}")
    (_, n_inputs), (n_outputs, units) = arrays["input_weights"].shape, arrays["readout_weights"].shape
    kind: Any = CELLS[architecture]
    try:
        skeleton = jax.eval_shape(lambda: kind(n_inputs, units, n_outputs, activation, key=jax.random.key(0)))
    except ValueError as error:
        raise NetworkError(f"the fields of the {architecture} do not fit: {error}") from None

    def stored(path: tuple[Any, ...], leaf: jax.ShapeDtypeStruct) -> NDArray[np.float64]:
        name = path[-1].name
        seen = arrays[name].shape if name in arrays else None
        if seen != leaf.shape:
            raise NetworkError(f"{name!r} has the shape {seen}; expected {leaf.shape}")
        return np.asarray(arrays[name], np.float64)

    return jax.tree_util.tree_map_with_path(stored, skeleton)
