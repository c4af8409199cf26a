"""All branches from given points: those through them, and those that begin at their branch points.

Branches are followed in generations. Where a branch of one generation passes a branch point at which another direction
has not been followed, the next generation begins there, both ways. A branch that reaches a known branch point ends
there, since the next generation followed all directions from it.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dynatlas.dynamics.continuation.curve import Curve, CurvePoint, curve_points
from dynatlas.dynamics.continuation.events import Event
from dynatlas.dynamics.continuation.limits import Limits
from dynatlas.dynamics.continuation.strands import Strand, sort_out
from dynatlas.dynamics.continuation.tracing import SAME, SAME_DIRECTION, Seed, follow

MOST_BRANCHES = 1000
# Branches that jumped to another one are followed again, with steps shorter by these factors.
RETRIES = (0.25, 0.0625)


@dataclass(eq=False)
class Tree:
    """Branches found so far.

    Attributes:
        curve: G.
        limits: where branches end.
        strands: the branches.
        origin: for each seed of the first generation, the branch that passes it.
        crossings: branch points, all directions from which are followed.
        notes: what went wrong, in words.
    """

    curve: Curve
    limits: Limits
    strands: list[Strand] = field(default_factory=list)
    origin: list[int] = field(default_factory=list)
    crossings: list[NDArray[np.float64]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def length(self) -> float:
        """The place of the parameter's stop."""
        return float(self.curve.length)

    def grow(self, seeds: list[Seed]) -> None:
        """Follow branches from the start of the interval, and all that begin at their branch points."""
        traces = follow(self.curve, seeds, self.limits, self.crossings)
        self.origin = self._add([Strand.of(trace) for trace in traces])
        self.branch_out()

    def add_root(self, point: CurvePoint) -> None:
        """Follow the branch through a point inside the interval both ways, and all that begin at its branch points."""
        back = curve_points(point.x[None], -point.tangent[None], point.matrix[None], np.array([point.residual]))[0]
        seeds = [Seed(point, "search"), Seed(back, "search")]
        forward, backward = follow(self.curve, seeds, self.limits, self.crossings)
        is_closed = forward.end == "closed on itself"
        self._add([Strand.of(forward) if is_closed else Strand.joined(backward, forward)])
        self.branch_out()

    def branch_out(self) -> None:
        """Follow the branches that begin at the branch points of known ones, until there are no more."""
        while True:
            seeds = self._new_seeds()
            if not seeds:
                return
            if len(self.strands) + len(seeds) > MOST_BRANCHES:
                self.notes.append(f"more than {MOST_BRANCHES:,} branches: those from further branch points are missing")
                return
            traces = follow(self.curve, seeds, self.limits, self.crossings)
            self._add([Strand.of(trace) for trace in traces])

    def _new_seeds(self) -> list[Seed]:
        """Return where branches begin that are not followed, and note their branch points as known."""
        seeds = []
        events = [event for strand in self.strands for event in strand.events if len(event.tangents)]
        for event in events:
            if any(np.linalg.norm(event.point.x - crossing) < SAME * self.length for crossing in self.crossings):
                continue
            here = [other for other in events if np.linalg.norm(event.point.x - other.point.x) < SAME * self.length]
            self.crossings.append(event.point.x)
            for tangent in event.tangents:
                if not any(abs(tangent @ other.point.tangent) > SAME_DIRECTION for other in here):
                    seeds += [_seed_at(event, side * tangent) for side in (1, -1)]
        return [seed for seed in seeds if self._leads_inside(seed)]

    def _leads_inside(self, seed: Seed) -> bool:
        place, slope = seed.point.x[-1], seed.point.slope
        at_start, at_stop = place < SAME * self.length, place > (1 - SAME) * self.length
        return not (at_start and slope < 0) and not (at_stop and slope > 0)

    def _add(self, strands: list[Strand]) -> list[int]:
        """Add branches without repetitions; return the number of each, or of the one that is the same curve."""
        before = len(self.strands)
        together = [*self.strands, *strands]
        for scale in RETRIES:
            conflicts = sort_out(together, self.length).conflicts
            again = sorted({number for pair in conflicts for number in pair})
            if not again:
                break
            for number in again:
                together[number] = self._followed_again(together[number], scale)
        result = sort_out(together, self.length)
        kept = [number for number, same in enumerate(result.kept) if same == number]
        place = {number: position for position, number in enumerate(kept)}
        self.strands = [together[number] for number in kept]
        self.origin = [place[result.kept[number]] for number in self.origin]
        for first, second in result.conflicts:
            pair = f"branches {place[first]} and {place[second]}"
            self.notes.append(f"{pair} have one end in common and not the other: one of them jumped to another branch")
        return [place[same] for same in result.kept[before:]]

    def _followed_again(self, strand: Strand, scale: float) -> Strand:
        seeds = [trace.seed for trace in strand.seeds]
        # Where a branch was meant to end, it ends again; its own branch point is no end.
        traces = follow(self.curve, seeds, self.limits, self.crossings, scale)
        return Strand.of(traces[0]) if len(traces) == 1 else Strand.joined(traces[1], traces[0])


def _seed_at(event: Event, tangent: NDArray[np.float64]) -> Seed:
    point = event.point
    return Seed(
        CurvePoint(
            point.x, tangent, point.matrix, point.eigenvalues, point.residual, 0, 0, point.flip_sign, event.kind
        ),
        "branch point",
    )
