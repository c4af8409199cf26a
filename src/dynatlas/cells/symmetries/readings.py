"""Readings of a cell's leaves: which axes have units; and networks whose units were reordered by one."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from dynatlas.cells.architectures import StagedCell
from dynatlas.cells.cell import Cell, leaf_name


class Segment(NamedTuple):
    """A part of an axis: the units of one gate, or entries that belong to no unit."""

    begin: int
    end: int
    is_units: bool


Axis = tuple[Segment, ...]
Reading = dict[str, tuple[Axis, ...]]  # by the name of a leaf, of its axes
Place = tuple[str, int, int]  # leaf, axis, segment
Flips = frozenset[Place]  # that change sign with their units


def named_leaves(cell: Cell) -> dict[str, Any]:
    """Return the leaves of a cell by name: arrays of JAX, or of NumPy in networks that are read from files."""
    return {leaf_name(path): leaf for path, leaf in jax.tree_util.tree_flatten_with_path(cell)[0]}


def whole(length: int, units: int) -> Axis:
    """Return an axis that has the units of each gate, gate by gate."""
    return tuple(Segment(begin, begin + units, is_units=True) for begin in range(0, length, units))


def plain(length: int) -> Axis:
    """Return an axis without units."""
    return (Segment(0, length, is_units=False),) if length else ()


def moved(
    cell: Cell, reading: Reading, flips: Flips, order: Int[np.ndarray, " n"], signs: Float[np.ndarray, " n"]
) -> Cell:
    """Return the network in which unit i is the former unit ``order[i]``, times ``signs[i]``."""

    def leaf(path: Sequence[object], values: Any) -> Array:
        name = leaf_name(path)
        for axis, segments in enumerate(reading[name]):
            places, factors = [], []
            for number, (begin, end, is_units) in enumerate(segments):
                places.append(begin + (order if is_units else np.arange(end - begin)))
                factors.append(signs if (name, axis, number) in flips else np.ones(end - begin))
            shape = [-1 if other == axis else 1 for other in range(values.ndim)]
            values = jnp.take(values, np.concatenate(places), axis) * np.concatenate(factors).reshape(shape)
        return values

    return jax.tree_util.tree_map_with_path(leaf, cell)


# Of StagedCell and CTRNN: whether each axis has units.
ROLES: Final = {
    "recurrent_weights": (True, True),
    "input_weights": (True, False),
    "bias": (True,),
    "initial_state": (True,),
    "readout_weights": (False, True),
    "readout_bias": (False,),
    "leak": (True,),
}


def known_reading(cell: Cell) -> Reading:
    """Return the reading of a built-in cell."""
    return {
        name: tuple(
            whole(length, cell.units) if has_units else plain(length)
            for has_units, length in zip(ROLES[name], leaf.shape, strict=True)
        )
        for name, leaf in named_leaves(cell).items()
    }


def candidate_flips(cell: StagedCell, reading: Reading) -> Flips:
    """Return what changes sign in the equations of a built-in cell: everything but the rows of gates, and α."""
    candidate = cell.gates.index("candidate")
    every = {
        (name, axis, number)
        for name, axes in reading.items()
        for axis, segments in enumerate(axes)
        for number, segment in enumerate(segments)
        if segment.is_units and name != "leak"
    }
    of_gates = {"recurrent_weights", "input_weights", "bias"}
    return frozenset(place for place in every if place[0] not in of_gates or place[1] or place[2] == candidate)
