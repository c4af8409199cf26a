"""What the indices of all roots of a map sum to, and how well this is known."""

from typing import NamedTuple

from dynatlas._util.messages import count_of
from dynatlas.dynamics.piecewise_linear.equations import ReluEquations
from dynatlas.dynamics.piecewise_linear.growth import Growth, growth


class SumLaw(NamedTuple):
    """The sum of the indices of all roots.

    Attributes:
        expected: what the indices sum to; None if it is not known.
        is_proven: whether this is proven; otherwise it is supported by a search.
        reason: why, in words; empty for a box.
    """

    expected: int | None
    is_proven: bool
    reason: str


BOX = SumLaw(1, True, "")
NO_BOX = SumLaw(None, False, "no box is known that the map maps into itself")
OPEN_GROWTH = SumLaw(
    None,
    False,
    f"{NO_BOX.reason}; its program has relus or other maxima, and more than affine operations, such as gates inside",
)


def sum_law(equations: ReluEquations | None, *, has_box: bool, has_relus: bool = False) -> SumLaw:
    """Return the law of a map that has a box, or of which the growth at infinity is known.

    Args:
        equations: of a relu map; None for any other map.
        has_box: whether a box is known that the map maps into itself.
        has_relus: whether a map without equations has relus.

    Example:
        >>> sum_law(None, has_box=True).expected, sum_law(None, has_box=False).expected
        (1, None)
    """
    if has_box:
        return BOX
    if equations is None:
        return OPEN_GROWTH if has_relus else NO_BOX
    found = growth(equations.weights)
    expected = None if found.index_sum is None else equations.orientation * found.index_sum
    return SumLaw(expected, found.is_proven, _reason(found, expected))


def _reason(found: Growth, expected: int | None) -> str:
    """Return what is known about the growth at infinity, in words."""
    if found.is_proven:
        return "nothing grows at infinity, as a norm of the recurrent weights proves"
    searched = f"of {count_of(found.n_supports, 'set')} of active units"
    if not found.directions:
        return f"no direction of growth at infinity was found, {searched}"
    largest = found.directions[0].factor
    attracting = sum(each.attracts for each in found.directions)
    effect = f"{attracting} of them attracting: states near these grow without bound" if attracting else "none attracts"
    count = count_of(len(found.directions), "direction")
    total = "a degenerate one leaves the sum open" if expected is None else f"the indices then sum to {expected}"
    return f"the map grows at infinity along {count}, by a factor of up to {largest:.4g} a step ({effect}); {total}"
