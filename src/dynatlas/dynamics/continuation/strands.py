"""Whole branches with both ends, and which of them are the same curve."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dynatlas.dynamics.continuation.curve import CurvePoint
from dynatlas.dynamics.continuation.events import Event
from dynatlas.dynamics.continuation.tracing import SAME, SAME_DIRECTION, Trace

BEGINS = {
    "start": "the start of the interval",
    "branch point": "a branch point",
    "search": "a root inside the interval",
}


@dataclass(frozen=True, eq=False)
class End:
    """An end of a branch: a place, and the direction from it into the branch.

    Attributes:
        x: the place [n + 1].
        inwards: unit tangent into the branch [n + 1].
        is_known: whether it is an end of the interval or a branch point, from which there is one branch in a direction.
        reason: what it is, in words.
    """

    x: NDArray[np.float64]
    inwards: NDArray[np.float64]
    is_known: bool
    reason: str

    def equals(self, other: "End", length: float) -> bool:
        """Whether both are the same known end of the same curve."""
        return bool(
            self.is_known
            and other.is_known
            and np.linalg.norm(self.x - other.x) < SAME * length
            and self.inwards @ other.inwards > SAME_DIRECTION
        )


@dataclass(frozen=True, eq=False)
class Strand:
    """A branch that was followed to both ends.

    Attributes:
        points: its points.
        events: its bifurcations.
        begin: where it begins.
        end: where it ends.
        n_kinks: kinks that the corrector could not step over.
        seeds: the traces that it was made of, to follow it again.
    """

    points: Sequence[CurvePoint]
    events: Sequence[Event]
    begin: End
    end: End
    n_kinks: int
    seeds: Sequence[Trace]

    @classmethod
    def of(cls, trace: Trace) -> "Strand":
        """Return the branch that begins at a seed."""
        first, last = trace.points[0], trace.last
        is_known = trace.seed.origin != "search"
        begin = End(first.x, first.tangent, is_known, BEGINS[trace.seed.origin])
        return cls(
            trace.points, trace.events, begin, End(last.x, -last.tangent, trace.has_end, trace.end), trace.n_kinks,
            [trace],
        )  # fmt: skip

    @classmethod
    def joined(cls, backward: Trace, forward: Trace) -> "Strand":
        """Return the branch through a point inside the interval, from which it was followed both ways."""
        one, other = cls.of(backward), cls.of(forward)
        before = [replace(point, tangent=-point.tangent) for point in reversed(one.points)]
        return cls(
            [*before, *other.points[1:]],
            [*reversed(one.events), *other.events],
            one.end,
            other.end,
            one.n_kinks + other.n_kinks,
            [backward, forward],
        )

    @property
    def is_finished(self) -> bool:
        """Whether both ends are known, or the branch is closed."""
        return (self.begin.is_known and self.end.is_known) or self.end.reason == "closed on itself"


@dataclass(frozen=True, eq=False)
class Sorted:
    """Strands without repetitions.

    Attributes:
        kept: for each strand, the number of the strand that is the same curve and is kept: its own number if it is
            kept.
        conflicts: pairs of strands that share one end and not the other: one of them jumped to another branch.
    """

    kept: list[int]
    conflicts: list[tuple[int, int]]


def sort_out(strands: Sequence[Strand], length: float) -> Sorted:
    """Find strands that are the same curve: between two known ends, followed from either."""
    kept = list(range(len(strands)))
    conflicts = []
    for second in range(len(strands)):
        for first in range(second):
            if kept[first] != first or kept[second] != second:
                continue
            one, other = strands[first], strands[second]
            shared = [
                (a, b)
                for a in (one.begin, one.end)
                for b in (other.begin, other.end)
                if a.equals(b, length)
            ]  # fmt: skip
            if len(shared) == 1 and one.is_finished and other.is_finished:
                conflicts.append((first, second))
            elif shared and (one.is_finished or not other.is_finished):
                kept[second] = first
            elif shared:
                kept[first] = second
    roots = [_last_of(kept, number) for number in range(len(kept))]
    return Sorted(roots, conflicts)


def _last_of(kept: list[int], number: int) -> int:
    while kept[number] != number:
        number = kept[number]
    return number
