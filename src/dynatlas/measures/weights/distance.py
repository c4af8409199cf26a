"""Distance between the weights of two networks, up to the order and the sign of their units."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Final, NamedTuple

import numpy as np
from jaxtyping import Float

from dynatlas.measures.measure import expected
from dynatlas.measures.pairs import Array, Comparison, Reduced
from dynatlas.measures.weights.bounds import distance_bound, profiles
from dynatlas.measures.weights.layout import Layout, lay_out, layout_of, row_and_column_flips
from dynatlas.measures.weights.matching import best_reordering
from dynatlas.measures.weights.score import Reordering, Score, Units

FULL: Final = 64  # units from which on a search has one start


class _Prepared(NamedTuple):
    """A network's weights in a layout, its profiles, and a key by which pairs are ordered."""

    units: Units
    profiles: Float[np.ndarray, "n k"]
    key: bytes


@dataclass(frozen=True)
class Weights(Comparison):
    """min over signed permutations X of ‖θ − X·φ‖: the distance of weights, up to the order and the sign of units.

    θ and φ are all weights of two networks, each scaled to norm 1. X reorders the units of the second network, and
    changes the sign of some of them where the cell allows that (``cells.symmetries``): rows and columns of recurrent
    weights, and weights from inputs, to outputs, biases and initial state. Blocks are aligned by name; a block that one
    network does not have, and the units that the smaller network does not have, count as zeros.

    The search (``matching``) may miss the minimum: the distance is an upper bound of it, and ``lower_bound`` states
    what no reordering can reach. The minimum is a metric, from 0 to 2, between networks of the same number of units
    whose units all may change sign, or none. Where they may in one network only, a relu and a tanh network, that one's
    sign is free, and the triangle inequality can fail for two relu networks by way of a tanh network.

    Symmetries that change the norm are not removed: a relu unit whose incoming weights are doubled and whose outgoing
    ones are halved computes the same. An L2 penalty prefers one of them.

    Attributes:
        starts: number of ascents of each search; by default one from 33 units on, and more for smaller networks, whose
            search costs little: 64 divided by the units.
        steps: most linear assignments of an ascent. Eight, then exchanges, take some 12 ms for 128 units of one gate.

    Source: Huang, Singh, Martinelli & Rajan 2025 (networks trained on one task, compared at the level of weights); the
    scale, the signs and the bounds are choices of dynatlas.

    Example:
        >>> weights = {"between candidate": np.array([[0.0, 2.0], [1.0, 0.0]]), "units readout": np.ones((2, 1))}
        >>> reordered = {"between candidate": np.array([[0.0, 1.0], [2.0, 0.0]]), "units readout": np.ones((2, 1))}
        >>> Weights().between(weights, reordered)
        0.0
        >>> stronger = weights | {"units readout": np.full((2, 1), 3.0)}
        >>> round(Weights().between(weights, stronger), 6), round(Weights().lower_bound(weights, stronger), 6)
        (0.515904, 0.515904)
    """

    starts: Any = None
    steps: Any = 8

    def __post_init__(self) -> None:
        for option in ("starts", "steps"):
            value = getattr(self, option)
            if option == "starts" and value is None:
                continue
            is_count = isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= 1
            expected(option, value, "a whole number of at least 1", is_count)

    @property
    def has_lower_bound(self) -> bool:
        """A search may miss the best reordering."""
        return True

    def between(self, first: Reduced, second: Reduced) -> float:
        """Match the units of two networks, and return the norm of the difference.

        Raises:
            ValueError: a network's weights are all 0.
        """
        return float(self.tile([first], [second])[0, 0])

    def tile(self, firsts: Sequence[Reduced], seconds: Sequence[Reduced]) -> Float[np.ndarray, "firsts seconds"]:
        """Match all pairs; each network is scaled, padded and sorted once for each layout that it meets."""
        prepared = _preparing(firsts)
        others = prepared if firsts is seconds else _preparing(seconds)
        distances = np.empty((len(firsts), len(seconds)))
        for i, first in enumerate(firsts):
            for j, second in enumerate(seconds):
                if firsts is seconds and j < i:
                    distances[i, j] = distances[j, i]
                    continue
                layout = layout_of(first, second)
                distances[i, j] = self._matched(layout, prepared(i, layout), others(j, layout))[1]
        return distances

    def lower_bound(self, first: Reduced, second: Reduced) -> float:
        """Return a number that no reordering brings the distance below."""
        layout = layout_of(first, second)
        return _bound(layout, *(_prepare(one, layout) for one in (first, second)))

    def match(self, first: Reduced, second: Reduced) -> tuple[Reordering, float, float]:
        """Return the reordering of the second network's units, the distance and its lower bound."""
        layout = layout_of(first, second)
        pair = [_prepare(one, layout) for one in (first, second)]
        return *self._matched(layout, *pair), _bound(layout, *pair)

    def _starts(self, n: int) -> int:
        return max(1, FULL // n) if self.starts is None else int(self.starts)

    def _matched(self, layout: Layout, first: _Prepared, second: _Prepared) -> tuple[Reordering, float]:
        if first.key == second.key:
            return Reordering(np.arange(layout.n), np.ones(layout.n)), 0.0
        if first.key > second.key:  # a fixed order of each pair, so that the distance is symmetric to the last digit
            found, value = self._matched(layout, second, first)
            order = np.argsort(found.order)
            return Reordering(order, found.signs[order]), value
        score = _score(layout, first, second)
        gains = first.profiles @ second.profiles.T
        found, squared = best_reordering(score, gains, self._starts(score.n), int(self.steps))
        return found, float(np.sqrt(squared))


def _preparing(networks: Sequence[Reduced]) -> Callable[[int, Layout], _Prepared]:
    """Return a function that prepares the network at an index, once for each layout."""
    known: dict[tuple[int, Layout], _Prepared] = {}

    def prepared(index: int, layout: Layout) -> _Prepared:
        key = (index, layout)
        if key not in known:
            known[key] = _prepare(networks[index], layout)
        return known[key]

    return prepared


def _prepare(reduced: Reduced, layout: Layout) -> _Prepared:
    units = lay_out(reduced, layout)
    arrays: tuple[Array, ...] = units
    key = b"".join(array.tobytes() for array in arrays)
    return _Prepared(units, profiles(units, row_and_column_flips(layout)), key)


def _score(layout: Layout, first: _Prepared, second: _Prepared) -> Score:
    return Score(first.units, second.units, row_and_column_flips(layout), signed=layout.signed)


def _bound(layout: Layout, first: _Prepared, second: _Prepared) -> float:
    if first.key > second.key:
        first, second = second, first
    return distance_bound(_score(layout, first, second), first.profiles, second.profiles)
