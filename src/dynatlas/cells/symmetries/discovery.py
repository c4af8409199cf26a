"""Reading of a user-defined cell by the shapes of its leaves, checked on reordered networks."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, Final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.typing import NDArray

from dynatlas.cells.architectures import StagedCell
from dynatlas.cells.cell import Cell, is_fixed, leaf_name
from dynatlas.cells.symmetries.readings import (
    ROLES,
    Axis,
    Flips,
    Place,
    Reading,
    Segment,
    moved,
    named_leaves,
    plain,
    whole,
)

MOST_READINGS: Final = 256  # of the shapes of a user-defined cell that are checked
MOST_CHOICES: Final = 64  # of what changes sign in a user-defined cell, at once
TOLERANCE: Final = 1e-9


def discovered(cell: Cell) -> tuple[Reading, Flips | None]:
    """Return the first reading of a user-defined cell's leaves with which its units can be reordered, and its flips."""
    what = f"the units of {type(cell).__name__} cannot be reordered"
    states = len(cell.initial_state)
    if states % cell.units:
        raise ValueError(f"{what}: it has {states} state variables; expected a multiple of its {cell.units} units")
    check = _Check(cell)
    for reading in itertools.islice(_readings(cell, check.n_inputs), MOST_READINGS):
        if check.holds(reading, frozenset(), np.ones(cell.units)):
            return reading, check.flips(reading)
    shapes = ", ".join(f"{name} {list(leaf.shape)}" for name, leaf in named_leaves(cell).items())
    raise ValueError(
        f"{what}: no reading of its leaves ({shapes}) commutes with its step and its readout; expected leaves with "
        "axes of one entry for each unit, or of one block of them for each gate"
    )


def _readings(cell: Cell, n_inputs: int) -> Iterator[Reading]:
    """Yield readings of all leaves: axes have units wherever their length allows it, then fewer."""
    units = cell.units

    def axis(length: int) -> list[Axis]:
        options = [whole(length, units)] if length and length % units == 0 else []
        rest = length - n_inputs
        if n_inputs and rest > 0 and rest % units == 0:  # weights of the joined state and inputs, in either order
            options.append((*whole(rest, units), Segment(rest, length, is_units=False)))
            moved_ = (Segment(one.begin + n_inputs, one.end + n_inputs, is_units=True) for one in whole(rest, units))
            options.append((Segment(0, n_inputs, is_units=False), *moved_))
        return [*options, plain(length)]

    leaves = named_leaves(cell)
    known = ROLES if isinstance(cell, StagedCell) else {"initial_state": (True,)}
    options = []
    for name, leaf in leaves.items():
        axes = [axis(length) for length in leaf.shape]
        if name in known and len(known[name]) == leaf.ndim:
            axes = [
                [whole(length, units) if has_units else plain(length)]
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
