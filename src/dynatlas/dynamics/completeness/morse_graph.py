"""Close the Morse graph: follow the flow from every saddle, and search where a root must be.

A saddle with one unstable direction leads to two stable points. Around one with two, a ring of directions passes stable
points; where neighbouring directions end at different ones, the run next to the boundary passes a saddle with one
unstable direction, which must lead to the same two. The same holds on the segment between two stable points. Roots that
share a boundary may be separated by a root with one more unstable direction. Whatever these runs pass becomes a start
of the search, until nothing new is found; what remains unexplained is kept as a reason.
"""

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dynatlas._util.messages import count_of
from dynatlas.dynamics.completeness.basins import CAPTURED, MOST_STEPS, RUNS, Followed, follow, not_followed
from dynatlas.dynamics.completeness.boundaries import Simplex, shrink
from dynatlas.dynamics.completeness.chain_complex import has_homology_of_a_point
from dynatlas.dynamics.completeness.junctions import are_separated, fans, triangles
from dynatlas.dynamics.completeness.levels import Change, Levels
from dynatlas.dynamics.completeness.points import Point
from dynatlas.dynamics.completeness.sphere import towards, unstable_sphere
from dynatlas.dynamics.multistart import Multistart

PASSES = 12  # each follows the roots that the one before found
MOST_ROOTS = 400  # with more, the runs would take longer than the search
STAGES = 4  # of the search for the saddle on a boundary: from the runs as they are, then closer and closer to it
MOST_STARTS = 256  # of one kind, in one pass
NEIGHBORS = 8  # of each stable point, to which segments lead
SHARES = (0.11, 0.24, 0.37, 0.52, 0.63, 0.76, 0.89)  # of a segment; no symmetric pair, since networks have symmetries
BEND = 0.05  # of a segment away from the straight line, for the same reason


class MorseGraph:
    """Connections among the roots of a search.

    Attributes:
        reasons: why the graph does not close, one clause each; none if it closes.
    """

    reasons: list[str]

    def __init__(self, search: Multistart):
        self.search = search
        self.reasons = []
        self.attractors: list[Point] = []
        self._labels: dict[int, list[int]] = {}  # of each saddle's runs, by the point's id
        self._diverging: set[int] = set()  # saddles of which a run becomes infinite, by the point's id
        self._changes: list[Change] = []
        self._segments: set[tuple[int, int]] = set()
        self._pairs: set[frozenset[int]] = set()  # between which the search has started
        self._junctions: dict[frozenset[int], bool] = {}  # pairs that fans have examined: whether they are separated
        self._random = np.random.default_rng(0)

    @property
    def closes(self) -> bool:
        """Whether every boundary is explained."""
        return not self.reasons

    def close(self) -> None:
        """Search where roots must be, until nothing new is found; collect what remains unexplained."""
        for _ in range(PASSES):
            known = len(self.search.roots)
            if self.search.uncountable or self.search.on_continuum or known > MOST_ROOTS:
                self.reasons = [f"{known} roots are too many to follow"]
                return
            self._update_attractors()
            self._follow_saddles()
            if not self.search.stopped and len(self.search.roots) == known:
                self._add_segments()
                self._explain()
            if not self.search.stopped and len(self.search.roots) == known:
                self._search_between()
            if not self.search.stopped and len(self.search.roots) == known and not self._n_lost:
                self._aim()
                self._search_junctions()
            if self.search.stopped or len(self.search.roots) == known:
                break
        self._update_attractors()
        self.reasons = self._open_ends()

    # --- runs -----------------------------------------------------------------------------------------------------

    def _follow(self, starts: NDArray[np.float64], away: float | NDArray[np.float64] = 0.0) -> Followed:
        """Follow the flow to the stable points; what arrives at none is searched, and followed again if that helps."""
        self._update_attractors()
        runs = self._run(starts, away)
        lost = np.flatnonzero((runs.labels < 0) & np.isfinite(runs.ends).all(axis=1))
        if len(lost):
            known = len(self.attractors)
            self.search.reach(runs.ends[lost][:MOST_STARTS])
            self._update_attractors()
            if len(self.attractors) > known:
                again = self._run(runs.ends[lost], 0.0)
                runs.labels[lost] = again.labels
        return runs

    def _run(self, starts: NDArray[np.float64], away: float | NDArray[np.float64]) -> Followed:
        search = self.search
        radii = [CAPTURED * self._spacing(point) for point in self.attractors]
        targets = [point.state for point in self.attractors]
        distances = np.broadcast_to(np.asarray(away, float), (len(starts),))
        parts = []
        # The clock is read between calls: runs along a continuum take all their steps and arrive nowhere.
        for first in range(0, len(starts), RUNS):
            rows = slice(first, first + RUNS)
            if first and search.out_of_time:
                parts.append(not_followed(starts[rows]))
                continue
            parts.append(
                follow(search.step, search.inputs, starts[rows], targets, radii, search.spread, distances[rows])
            )
        return Followed(*map(np.concatenate, zip(*parts, strict=True))) if parts else not_followed(starts)

    def _update_attractors(self) -> None:
        known = {id(point) for point in self.attractors}
        self.attractors += [point for point in self.search.roots if not point.n_unstable and id(point) not in known]

    def _spacing(self, point: Point) -> float:
        """Return the distance to the nearest other root."""
        others = [other.state for other in self.search.roots if other is not point]
        size = self.search.spread * float(np.sqrt(len(point.state)))
        return (
            min(float(np.linalg.norm(np.array(others) - point.state, axis=1).min(initial=np.inf)), size)
            if others
            else size
        )

    def _follow_saddles(self) -> None:
        """Follow every saddle that was not followed yet along its unstable directions."""
        fresh = [point for point in self.search.roots if point.n_unstable and id(point) not in self._labels]
        if not fresh:
            return
        spheres = [unstable_sphere(self.search, point, self._spacing(point)) for point in fresh]
        sizes = [len(sphere.states) for sphere in spheres]
        away = np.repeat([sphere.away for sphere in spheres], sizes)
        runs = self._follow(np.concatenate([sphere.states for sphere in spheres]), away)
        ends = np.cumsum(sizes).tolist()
        for point, sphere, last in zip(fresh, spheres, ends, strict=True):
            first = last - len(sphere.states)
            labels = runs.labels[first:last].tolist()
            self._labels[id(point)] = labels
            # After the time is spent, runs that were not begun have no end.
            if not (np.isfinite(runs.ends[first:last]).all() or self.search.out_of_time):
                self._diverging.add(id(point))
            source = point if point.n_unstable == 2 else None
            for a, b in sphere.neighbors:
                self._add_change(runs, (first + a, first + b), sphere.states[[a, b]], source, sphere.away)

    def _add_segments(self) -> None:
        """Follow states between stable points that no known saddle connects."""
        joined = {frozenset(self._labels[id(point)]) for point in self._saddles(1)}
        states = np.array([point.state for point in self.attractors])
        starts, places = [], []
        for first, point in enumerate(self.attractors):
            order = np.argsort(np.linalg.norm(states - point.state, axis=1), kind="stable")[1 : NEIGHBORS + 1]
            for second in map(int, order):
                pair = (min(first, second), max(first, second))
                if pair in self._segments or frozenset(pair) in joined:
                    continue
                self._segments.add(pair)
                gap = states[pair[1]] - states[pair[0]]
                aside = self._random.normal(size=len(gap)) / np.sqrt(len(gap)) * np.linalg.norm(gap)
                starts += [states[pair[0]] + s * gap + BEND * np.sin(np.pi * s) * aside for s in SHARES]
                places.append(pair)
        if not starts:
            return
        inner = np.array(starts).reshape(len(places), len(SHARES), -1)
        runs = self._follow(self.search.clip(np.array(starts)))
        for row, (first, second) in enumerate(places):
            labels = [first, *runs.labels[row * len(SHARES) : (row + 1) * len(SHARES)].tolist(), second]
            path = [states[first], *inner[row], states[second]]
            for a, b in itertools.pairwise(range(len(path))):
                if labels[a] != labels[b] and min(labels[a], labels[b]) >= 0:
                    simplex = Simplex(np.array([path[a], path[b]]), [labels[a], labels[b]])
                    near = [row * len(SHARES) + place - 1 for place in (a, b) if 0 < place <= len(SHARES)]
                    simplex.passages += [
                        (float(runs.speeds[run]), runs.passages[run]) for run in near if np.isfinite(runs.speeds[run])
                    ]
                    self._changes.append(Change(simplex, None))

    def _add_change(
        self,
        runs: Followed,
        rows: tuple[int, int],
        states: NDArray[np.float64],
        source: Point | None,
        away: float,
    ) -> None:
        """Note two neighbouring runs, if they end at different stable points."""
        labels = [int(runs.labels[row]) for row in rows]
        if labels[0] == labels[1] or min(labels) < 0:
            return
        simplex = Simplex(states.copy(), labels, away=away)
        for row in rows:
            if np.isfinite(runs.speeds[row]):
                simplex.passages.append((float(runs.speeds[row]), runs.passages[row]))
        self._changes.append(Change(simplex, source))

    # --- boundaries between stable points ---------------------------------------------------------------------------

    def _explain(self) -> None:
        """Find the saddle of every change: among those that its runs passed, then by bisection."""
        for stage in range(STAGES):
            self._settle()
            left = [change for change in self._changes if change.saddle is None and change.stage <= stage]
            if not left or self.search.stopped:
                continue
            if stage:
                left += self._shrink(left)
            for change in left:
                change.stage = stage + 1
            self._reach_passages(left, 2)
            self._follow_saddles()
        self._settle()

    def _shrink(self, changes: Sequence[Change]) -> list[Change]:
        """Bring the states of changes closer together; return the changes that split off."""
        for change in changes:
            change.simplex.passages.clear()
        open_ones = [change for change in changes if not change.simplex.is_flat]
        pieces = shrink([change.simplex for change in open_ones], self._run)
        split = [
            Change(piece, open_ones[piece.origin].source, stage=open_ones[piece.origin].stage)
            for piece in pieces[len(open_ones) :]
        ]
        self._changes += split
        return split

    def _reach_passages(self, changes: Sequence[Change], count: int) -> None:
        """Search from the slowest passages of changes."""
        owners, starts = [], []
        for change in changes:
            slowest = change.simplex.slowest(count)
            starts += slowest
            owners += [change] * len(slowest)
        if starts:
            for change, point in zip(owners, self.search.reach(np.array(starts)), strict=True):
                if point is not None and not any(point is other for other in change.passed):
                    change.passed.append(point)

    def _settle(self) -> None:
        """Note the saddles of changes: of a ring, one that was passed; of a segment, any that joins the two points."""
        joined = {frozenset(self._labels[id(point)]): point for point in self._saddles(1)}
        for change in self._changes:
            if change.saddle is not None:
                continue
            pair = set(change.simplex.labels)
            for point in change.passed:
                labels = self._labels.get(id(point))
                if labels and (
                    set(labels) == pair if point.n_unstable == 1 else change.source is None and pair <= set(labels)
                ):
                    change.saddle = point
                    break
            else:
                if change.source is None:
                    change.saddle = joined.get(frozenset(pair))

    # --- boundaries of higher dimension -----------------------------------------------------------------------------

    def _saddles(self, n_unstable: int) -> list[Point]:
        """Return the roots with this many unstable directions that were followed."""
        return [point for point in self.search.roots if point.n_unstable == n_unstable and id(point) in self._labels]

    def _levels(self) -> Levels:
        """Return the roots by their number of unstable directions, and their boundaries."""
        most = max((point.n_unstable for point in self.search.roots), default=0)
        groups = [list(self.attractors), *(self._saddles(degree) for degree in range(1, most + 1))]
        return Levels(groups, self._labels, self._changes)

    def _search_between(self) -> None:
        """Search from the middle between roots that share a boundary but bound no known root together."""
        starts: list[NDArray[np.float64]] = []
        levels = self._levels()
        for degree in range(1, len(levels.groups)):
            for first, second, _ in levels.unexplained_pairs(degree):
                pair = frozenset((id(first), id(second)))
                if pair not in self._pairs and len(starts) < MOST_STARTS:
                    self._pairs.add(pair)
                    starts.append((first.state + second.state) / 2)
        if starts:
            self.search.reach(np.array(starts))

    def _aim(self) -> None:
        """Follow saddles with three or more unstable directions also towards each other root, where pairs are left.

        The directions that lead to a stable point may be too few for the others to meet them.
        """
        levels = self._levels()
        if not any(levels.unexplained_pairs(degree) for degree in range(2, len(levels.groups))):
            return
        for point in itertools.chain(*levels.groups[3:]):
            targets = [other.state for other in self.search.roots if other is not point]
            aimed = towards(self.search, point, self._spacing(point), np.array(targets))
            labels = self._run(aimed, 0.0).labels
            self._labels[id(point)] += labels[labels >= 0].tolist()

    def _search_junctions(self) -> None:
        """Look for points where three basins meet, between saddles that share a stable point but no known root."""
        pairs = [
            (first, second, shared)
            for first, second, shared in self._levels().unexplained_pairs(1)
            if frozenset((id(first), id(second))) not in self._junctions
        ][: MOST_STARTS // 8]
        if not pairs:
            return
        found = [
            fans(self.attractors[shared].state, first.state, second.state, self.search.limits, self._random)
            for first, second, shared in pairs
        ]
        runs = self._follow(np.concatenate([fan.reshape(-1, fan.shape[-1]) for fan in found]))
        labels = runs.labels.reshape(len(pairs), *found[0].shape[:-1])
        simplices = []
        for (first, second, shared), fan, of_fan in zip(pairs, found, labels, strict=True):
            self._junctions[frozenset((id(first), id(second)))] = are_separated(of_fan, shared)
            simplices += triangles(fan, of_fan, shared)
        if simplices:
            pieces = shrink(simplices, self._run)
            starts = [state for piece in pieces for state in piece.slowest(1)]
            if starts:
                self.search.reach(np.array(starts))

    # --- verdict ----------------------------------------------------------------------------------------------------

    @property
    def _n_lost(self) -> int:
        """Saddles from which a run arrives at no known stable point."""
        return sum(min(labels) < 0 for labels in self._labels.values())

    @property
    def _n_flips(self) -> int:
        """Saddles with an odd number of eigenvalues below −1."""
        return sum(point.index != (-1) ** point.n_unstable for point in self.search.roots)

    @property
    def is_defined(self) -> bool:
        """Whether the graph can close: it cannot where runs end on a cycle or swap the sides of a saddle."""
        return not self._n_lost and not self._n_flips

    def _open_ends(self) -> list[str]:
        """Return why the graph does not close: a reason why it is not defined, or what is missing."""
        roots = self.search.roots
        flips = self._n_flips
        bare = sum(change.saddle is None for change in self._changes)
        away = len(self._diverging)
        lost = self._n_lost - away
        reasons = {
            "a root is degenerate": any(not point.index for point in roots),
            f"{count_of(flips, 'saddle')} with an eigenvalue below −1, where the boundary is not defined": flips,
            "a saddle was not followed": any(point.n_unstable and id(point) not in self._labels for point in roots),
            f"the flow from {count_of(away, 'saddle')} diverges": away,
            f"the flow from {count_of(lost, 'saddle')} does not come to rest at a known stable point in "
            f"{MOST_STEPS:,} steps": lost,
            "there is no stable point": not self.attractors,
            f"no saddle was found on {count_of(bare, 'boundary', 'boundaries')} between stable points": bare,
        }
        for reason, holds in reasons.items():
            if holds:
                return [reason]
        levels = self._levels()
        separated = {pair for pair, apart in self._junctions.items() if apart}
        found = []
        for degree in range(1, len(levels.groups)):
            pairs = [pair for pair in levels.unexplained_pairs(degree) if frozenset(map(id, pair[:2])) not in separated]
            if pairs:
                found.append(
                    f"between {count_of(len(pairs), 'pair')} of roots with {degree} unstable and a common boundary, "
                    "no further root was found"
                )
        if not found and not has_homology_of_a_point([len(group) for group in levels.groups], levels.boundaries):
            found.append("the boundaries of the saddles do not fit together")
        return found
