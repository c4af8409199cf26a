"""The weights of a network in blocks that say how they move with its units."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Final

import jax
import numpy as np
from numpy.typing import NDArray

from dynatlas.cells.activations import ACTIVATIONS
from dynatlas.cells.architectures import GRU, LSTM, UGRNN, StagedCell, Vanilla
from dynatlas.cells.cell import Cell, is_fixed
from dynatlas.cells.ctrnn import CTRNN
from dynatlas.cells.symmetries.discovery import discovered
from dynatlas.cells.symmetries.readings import ROLES, Flips, Reading, candidate_flips, known_reading, named_leaves

KNOWN: Final = (Vanilla, UGRNN, GRU, LSTM, CTRNN)  # exactly these classes: a subclass may override the equations


def unit_weights(cell: Cell) -> dict[str, NDArray[np.float64]]:
    """Return the weights of a network by kind, role and gate, in float64, and what changes sign with its units.

        between NAME   [units, units]  recurrent weights of a gate, from the column's unit to the row's
        units NAME     [units, k]      weights from inputs ("input candidate"), "bias …", "readout", "initial_state"
        others NAME    [k]             "readout_bias", and what does not belong to a unit
        flips between NAME [2], flips units NAME [1]   whether rows and columns, or the features, change sign with units

    ``measures.weights`` compares what this returns. Networks of different cells are aligned by these names. There is no
    entry of flips where units cannot change sign. Weights of a user-defined cell have the names of its leaves.

    Args:
        cell: one network.

    Raises:
        ValueError: the units of a user-defined cell cannot be reordered, by any reading of the shapes of its leaves.

    Example:
        >>> cell = GRU(3, 16, 2, "relu", key=jax.random.key(0))
        >>> {name: weights.shape for name, weights in unit_weights(cell).items() if "candidate" in name}
        {'between candidate': (16, 16), 'units input candidate': (16, 3), 'units bias candidate': (16, 1)}
        >>> unit_weights(Vanilla(3, 16, 2, "tanh", key=jax.random.key(0)))["flips between candidate"]
        array([1., 1.])
    """
    with jax.enable_x64(True):
        exact = cell.astype(np.float64)
        plain = exact.dense() if isinstance(exact, StagedCell) else exact
        if type(cell) in KNOWN and isinstance(plain, StagedCell):
            reading = known_reading(plain)
            flips = candidate_flips(plain, reading) if ACTIVATIONS[plain.activation].is_odd else None
        else:
            reading, flips = discovered(plain)
        if isinstance(cell, CTRNN) and cell.signs is not None:
            flips = None
    return _blocks(plain, reading, flips)


def _blocks(cell: Cell, reading: Reading, flips: Flips | None) -> dict[str, NDArray[np.float64]]:
    """Cut all leaves that are weights into blocks of one kind."""
    blocks: dict[str, NDArray[np.float64]] = {}
    for name, leaf in named_leaves(cell).items():
        axes = reading[name]
        if is_fixed(cell, name) and not (isinstance(cell, StagedCell) and name in ROLES):
            continue
        for numbers in itertools.product(*(range(len(segments)) for segments in axes)):
            segments = [axis[number] for axis, number in zip(axes, numbers, strict=True)]
            values = np.asarray(leaf, np.float64)[tuple(slice(one.begin, one.end) for one in segments)]
            of_units = [axis for axis, segment in enumerate(segments) if segment.is_units]
            several = [number for number, axis in zip(numbers, axes, strict=True) if len(axis) > 1]
            role = _role(cell, name, several)
            if len(of_units) > 2:
                raise ValueError(
                    f"{name} has weights of {len(of_units)} units each; expected weights of one unit or two"
                )
            kind = ("others", "units", "between")[len(of_units)]
            values = np.moveaxis(values, of_units, range(len(of_units)))
            values = values.reshape(*values.shape[: len(of_units)], -1)
            # More axes than units: one block between units for each of the further entries.
            parts = {role: values} if kind != "between" else dict(_apart(role, values))
            for full, part in parts.items():
                blocks[f"{kind} {full}"] = np.ascontiguousarray(part)
                if flips is not None and of_units:
                    bits = [(name, axis, numbers[axis]) in flips for axis in of_units]
                    blocks[f"flips {kind} {full}"] = np.array(bits, np.float64)
    return blocks


def _apart(role: str, values: NDArray[np.float64]) -> Iterator[tuple[str, NDArray[np.float64]]]:
    for number in range(values.shape[2]):
        yield role if values.shape[2] == 1 else f"{role} {number}", values[..., number]


def _role(cell: Cell, leaf: str, numbers: Sequence[int]) -> str:
    """Return the name of a block: by the gate in a cell with named gates, else by leaf and number."""
    if isinstance(cell, StagedCell):
        gate = cell.gates[numbers[0] if numbers else 0]
        named = {
            "recurrent_weights": gate,
            "input_weights": f"input {gate}",
            "bias": f"bias {gate}",
            "readout_weights": "readout",
            "initial_state": "initial_memory" if numbers and numbers[0] else "initial_state",
        }
        return named.get(leaf, leaf)
    return " ".join([leaf, *map(str, numbers)])
