"""Distance between the weights of two networks."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from dynatlas.cells.cell import Cell
from dynatlas.cells.symmetries.unit_weights import unit_weights
from dynatlas.measures.pairs import Reduced
from dynatlas.measures.weights.distance import Weights
from dynatlas.measures.weights.layout import n_units


class WeightDistance(NamedTuple):
    """Distance of two networks' weights, and the correspondence of their units.

    Attributes:
        distance: norm of the difference of the weights, each network's scaled to norm 1.
        lower_bound: what no correspondence of units can bring the distance below.
        order: unit of the second network for each unit of the first; −1 for none, if the second has fewer.
        signs: 1, or −1 where the corresponding unit's sign is changed.
    """

    distance: float
    lower_bound: float
    order: Int[np.ndarray, " units"]
    signs: Float[np.ndarray, " units"]


def weight_distance(first: Cell, second: Cell, *, starts: int = 4, steps: int = 30) -> WeightDistance:
    """Compute the distance between the weights of two networks, up to the order and the sign of their units.

    With θ and φ all weights of the networks, each scaled to norm 1, it is

        d = min over X of ‖θ − X·φ‖

    where X reorders the units of the second network and, where the cell allows that (an odd activation such as tanh, no
    Dale's law), changes the sign of some: neither changes what the network computes. Blocks of weights are aligned by
    gate and role; what one network does not have, a gate or a unit, counts as zeros.

    The minimum is searched for by linear assignments and exchanges of units, and may be missed; it lies between
    ``lower_bound`` and ``distance``.

    Args:
        first: a network, such as ``atlas.network(...)``; a cell of any class whose units can be reordered.
        second: another one; architecture, units, inputs and outputs may differ.
        starts: number of ascents of the search. All pairs of a study are compared from one start, in 8 steps.
        steps: most linear assignments of an ascent.

    Raises:
        ValueError: something else than cells; weights that are not finite, or all 0; a user-defined cell whose units
            cannot be reordered.

    Example:
        >>> import equinox as eqx
        >>> import jax
        >>> from dynatlas.cells import Vanilla
        >>> cell, order = Vanilla(2, 4, 1, "tanh", key=jax.random.key(0)), np.array([2, 0, 3, 1])
        >>> leaves = lambda cell: (cell.recurrent_weights, cell.input_weights, cell.readout_weights)
        >>> W, U, R = leaves(cell)
        >>> reordered = eqx.tree_at(leaves, cell, (W[order][:, order], U[order], R[:, order]))
        >>> found = weight_distance(cell, reordered)
        >>> found.distance, found.order.tolist()  # cell's unit 0 is unit 1 of the other one
        (0.0, [1, 3, 0, 2])

    Source: Huang, Singh, Martinelli & Rajan 2025. It compares networks of one architecture; the scale, signs, zeros for
    what is missing, and the bound are choices of dynatlas. See ``measures.weights.distance.Weights``.
    """
    reduced = [_checked(name, cell) for name, cell in (("first", first), ("second", second))]
    found, distance, bound = Weights(starts, steps).match(*reduced)
    n, other = (n_units(one) for one in reduced)
    order = np.where(found.order < other, found.order, -1)[:n]
    return WeightDistance(distance, bound, order, np.where(order < 0, 1.0, found.signs[:n]))


def _checked(name: str, cell: object) -> Reduced:
    if not isinstance(cell, Cell):
        raise ValueError(
            f"{name} is a {type(cell).__module__}.{type(cell).__qualname__}; expected a cell of dynatlas, such as "
            "atlas.network(...) returns; put the weights of other libraries' networks into a cell of dynatlas.cells"
        )
    reduced = unit_weights(cell)
    for block, values in reduced.items():
        if not np.isfinite(values).all():
            raise ValueError(f"{name} has weights that are not finite, in {block!r}; expected finite numbers")
    return reduced
