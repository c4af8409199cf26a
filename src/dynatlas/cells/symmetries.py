"""Symmetries of a network's units: the weights that move, and those that change sign, when units are reordered.

A network computes the same when its units are reordered: the weights of each gate by rows and columns, weights from
inputs, biases and initial state by rows, and those to outputs by columns. If the activation is odd, φ(−a) = −φ(a),
units may also change sign, hᵢ → −hᵢ:

    columns of all recurrent weights, outputs, initial state   change sign
    rows of the candidate: recurrent, inputs, bias              change sign
    rows of gates: recurrent, inputs, bias                      do not

Dale's law fixes the signs of units. Built-in cells are known; a user-defined cell is read from the shapes of its
leaves, and what was read is checked: a network with moved weights must commute with step and readout to rounding.

Fixed leaves are counted as the step uses them: masks, Dale's signs and a fixed part of the connectivity in the
recurrent weights that they make; α of each unit as its feature. In user-defined cells they have to move with the units,
but are no weights: a cell that derives from ``StagedCell`` can return the weights that it uses from ``dense``.

Source: Hecht-Nielsen 1990 (permutations and signs of tanh units).
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from numpy.typing import NDArray

from dynatlas.cells.activations import ACTIVATIONS
from dynatlas.cells.architectures import GRU, LSTM, UGRNN, StagedCell, Vanilla
from dynatlas.cells.cell import Cell, is_fixed, leaf_name
from dynatlas.cells.ctrnn import CTRNN

KNOWN: Final = (Vanilla, UGRNN, GRU, LSTM, CTRNN)  # exactly these classes: a subclass may override the equations
MOST_READINGS: Final = 256  # of the shapes of a user-defined cell that are checked
MOST_CHOICES: Final = 64  # of what changes sign in a user-defined cell, at once
TOLERANCE: Final = 1e-9


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
            reading = _known_reading(plain)
            flips = _candidate_flips(plain, reading) if ACTIVATIONS[plain.activation].is_odd else None
        else:
            reading, flips = _found(plain)
        if isinstance(cell, CTRNN) and cell.signs is not None:
            flips = None
    return _blocks(plain, reading, flips)


class Segment(NamedTuple):
    """A part of an axis: the units of one gate, or entries that belong to no unit."""

    begin: int
    end: int
    is_units: bool


Axis = tuple[Segment, ...]
Reading = dict[str, tuple[Axis, ...]]  # by the name of a leaf, of its axes
Place = tuple[str, int, int]  # leaf, axis, segment
Flips = frozenset[Place]  # that change sign with their units


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


def _named_leaves(cell: Cell) -> dict[str, Any]:  # of JAX, or of NumPy in networks that are read from files
    return {leaf_name(path): leaf for path, leaf in jax.tree_util.tree_flatten_with_path(cell)[0]}


def _whole(length: int, units: int) -> Axis:
    """Return an axis that has the units of each gate, gate by gate."""
    return tuple(Segment(begin, begin + units, is_units=True) for begin in range(0, length, units))


def _plain(length: int) -> Axis:
    return (Segment(0, length, is_units=False),) if length else ()


# ---------------------------------------------------------------- built-in cells


# Of StagedCell and CTRNN: whether each axis has units.
_ROLES: Final = {
    "recurrent_weights": (True, True),
    "input_weights": (True, False),
    "bias": (True,),
    "initial_state": (True,),
    "readout_weights": (False, True),
    "readout_bias": (False,),
    "leak": (True,),
}


def _known_reading(cell: Cell) -> Reading:
    return {
        name: tuple(
            _whole(length, cell.units) if has_units else _plain(length)
            for has_units, length in zip(_ROLES[name], leaf.shape, strict=True)
        )
        for name, leaf in _named_leaves(cell).items()
    }


def _candidate_flips(cell: StagedCell, reading: Reading) -> Flips:
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


# ---------------------------------------------------------------- user-defined cells


def _found(cell: Cell) -> tuple[Reading, Flips | None]:
    """Return the first reading of a user-defined cell's leaves with which its units can be reordered, and its flips."""
    what = f"the units of {type(cell).__name__} cannot be reordered"
    states = len(cell.initial_state)
    if states % cell.units:
        raise ValueError(f"{what}: it has {states} state variables; expected a multiple of its {cell.units} units")
    check = _Check(cell)
    for reading in itertools.islice(_readings(cell, check.n_inputs), MOST_READINGS):
        if check.holds(reading, frozenset(), np.ones(cell.units)):
            return reading, check.flips(reading)
    shapes = ", ".join(f"{name} {list(leaf.shape)}" for name, leaf in _named_leaves(cell).items())
    raise ValueError(
        f"{what}: no reading of its leaves ({shapes}) commutes with its step and its readout; expected leaves with "
        "axes of one entry for each unit, or of one block of them for each gate"
    )


def _readings(cell: Cell, n_inputs: int) -> Iterator[Reading]:
    """Yield readings of all leaves: axes have units wherever their length allows it, then fewer."""
    units = cell.units

    def axis(length: int) -> list[Axis]:
        options = [_whole(length, units)] if length and length % units == 0 else []
        rest = length - n_inputs
        if n_inputs and rest > 0 and rest % units == 0:  # weights of the joined state and inputs, in either order
            options.append((*_whole(rest, units), Segment(rest, length, is_units=False)))
            moved_ = (Segment(one.begin + n_inputs, one.end + n_inputs, is_units=True) for one in _whole(rest, units))
            options.append((Segment(0, n_inputs, is_units=False), *moved_))
        return [*options, _plain(length)]

    leaves = _named_leaves(cell)
    known = _ROLES if isinstance(cell, StagedCell) else {"initial_state": (True,)}
    options = []
    for name, leaf in leaves.items():
        axes = [axis(length) for length in leaf.shape]
        if name in known and len(known[name]) == leaf.ndim:
            axes = [
                [_whole(length, units) if has_units else _plain(length)]
                for has_units, length in zip(known[name], leaf.shape, strict=True)
            ]
        options.append(list(itertools.product(*axes)))
    for chosen in itertools.product(*options):
        yield dict(zip(leaves, chosen, strict=True))


class _Check:
    """Whether a network with moved weights commutes with step and readout, from random states."""

    def __init__(self, cell: Cell):
        random = np.random.default_rng(0)

        def away_from_0(path: Sequence[object], leaf: Any) -> Any:
            is_kept = is_fixed(cell, leaf_name(path))
            return leaf if is_kept else leaf + 0.1 * random.normal(size=leaf.shape)

        self.cell: Cell = jax.tree_util.tree_map_with_path(away_from_0, cell)
        self.n_inputs = _n_inputs(cell)
        self.order = random.permutation(cell.units)
        self.signs = np.where(np.arange(cell.units) % 2, 1.0, -1.0)
        self.copies = len(cell.initial_state) // cell.units
        self.states = random.normal(size=(4, len(cell.initial_state)))
        self.inputs = jnp.asarray(random.normal(size=(4, self.n_inputs)))

    def holds(
        self, reading: Reading, flips: Flips, signs: Float[np.ndarray, " n"], absent: Flips = frozenset()
    ) -> bool:
        """Check one reading with one choice of what changes sign, in the network without what is ``absent``."""
        same, minus = np.arange(self.cell.units), np.zeros(self.cell.units)
        cell = moved(self.cell, reading, absent, same, minus) if absent else self.cell
        other = moved(cell, reading, flips, self.order, signs)
        expected, read_out = _responses(cell, jnp.asarray(self.states), self.inputs)
        states, outputs = _responses(other, jnp.asarray(self._moved(self.states, signs)), self.inputs)
        pairs = ((states, self._moved(np.asarray(expected), signs)), (outputs, read_out))
        return all(np.allclose(seen, right, rtol=TOLERANCE, atol=TOLERANCE) for seen, right in pairs)

    def flips(self, reading: Reading) -> Flips | None:
        """Return what changes sign with the units; None if nothing can.

        Groups of weights are added to a network without them, one by one; each may change sign or not. Choices with
        which the network commutes are kept.
        """
        always, groups = self._groups(reading)
        choices = [frozenset(always)]
        for number, group in enumerate(groups):
            absent = frozenset(itertools.chain(*groups[number + 1 :]))
            options = [option for choice in choices for option in (choice | frozenset(group), choice)]
            choices = [option for option in options if self.holds(reading, option, self.signs, absent)]
            if len(choices) > MOST_CHOICES:
                return None
        return choices[0] if choices and (groups or self.holds(reading, choices[0], self.signs)) else None

    def _groups(self, reading: Reading) -> tuple[list[Place], list[list[Place]]]:
        """Return what always changes sign, and groups of weights that do or do not."""
        always: list[Place] = []
        groups: dict[tuple[Any, ...], list[Place]] = {}
        for name, axes in reading.items():
            gates = [sum(segment.is_units for segment in segments) for segments in axes]
            for axis, segments in enumerate(axes):
                for number in (number for number, segment in enumerate(segments) if segment.is_units):
                    place = (name, axis, number)
                    if name == "initial_state" or (gates[axis] == 1 and max(gates) > 1):  # the operand of all gates
                        always.append(place)
                    else:  # gates in the order in which they are stacked; else each leaf by itself
                        groups.setdefault((gates[axis], number) if gates[axis] > 1 else place, []).append(place)
        return always, list(groups.values())

    def _moved(self, states: NDArray[np.float64], signs: Float[np.ndarray, " n"]) -> NDArray[np.float64]:
        parts = states.reshape(len(states), self.copies, -1)[..., self.order] * signs
        return np.asarray(parts.reshape(states.shape))


@eqx.filter_jit
def _responses(cell: Cell, states: Array, inputs: Array) -> tuple[Array, Array]:
    return jax.vmap(cell)(states, inputs), jax.vmap(cell.readout)(states)


def _n_inputs(cell: Cell) -> int:
    """Return the number of input channels with which a step works: one that the shapes of the leaves suggest."""
    if isinstance(cell, StagedCell):
        return int(cell.input_weights.shape[-1])
    lengths = {length for leaf in jax.tree.leaves(cell) for length in leaf.shape}
    rests = {length - length // cell.units * cell.units for length in lengths} | {
        length - cell.units for length in lengths
    }
    # The largest first: a single channel is broadcast.
    for channels in sorted({size for size in {*lengths, *rests, 1} if size > 0}, reverse=True):
        try:
            jax.eval_shape(cell, cell.initial_state, jax.ShapeDtypeStruct((channels,), jnp.float64))
        except Exception:  # noqa: S112 - a user's code raises whatever it wants
            continue
        return channels
    raise ValueError(f"a step of {type(cell).__name__} fails for every number of inputs that its leaves suggest")


# ---------------------------------------------------------------- blocks


def _blocks(cell: Cell, reading: Reading, flips: Flips | None) -> dict[str, NDArray[np.float64]]:
    """Cut all leaves that are weights into blocks of one kind."""
    blocks: dict[str, NDArray[np.float64]] = {}
    for name, leaf in _named_leaves(cell).items():
        axes = reading[name]
        if is_fixed(cell, name) and not (isinstance(cell, StagedCell) and name in _ROLES):
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
