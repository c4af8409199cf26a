"""Multistart search: merge what the starts reach into distinct points, and decide when to stop."""

import time
from collections import Counter
from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.typing import NDArray

from dynatlas._util.arrays import in_chunks
from dynatlas.dynamics.completeness.points import DEGENERATE, Point, length_of_newton_step
from dynatlas.dynamics.root_search import KINK_RADIUS, Outcome, flow_ends, jacobians, polish, search_roots
from dynatlas.dynamics.step import Box, Step

CHUNK = 1024  # starts per call of the compiled search
POLISH_CHUNK = 32  # points per call of the compiled polishing
ROUND = 256  # starts that the search adds at a time
FLOW_STEPS = 1000

# Multiplications in the factorisations of a call: about a second, after which the clock is read.
CALL_COST = 64**3 * CHUNK
FEWEST_IN_CALL = 32

# The flow has come to rest when no coordinate moves by more than this in a step, relative to the spread of the starts.
REST = 1e-9

# With this many roots reached from one start only, and more than half of all, more starts only find more roots.
UNCOUNTABLE = 100
# Fewer show a continuum, if most of these have an eigenvalue as near to 1 as an isolated root hardly ever has. Every
# start ends there at a root of its own, and the flow from a saddle creeps along and never arrives.
ON_CONTINUUM = 16
NEUTRAL = 1e-6

# Sides of a kink at which the Jacobian is computed.
SIDES = 16

# With a longer Newton step, relative to the spread of the starts, a point is not at a root however small q is: a nearly
# closed gate scales F(h) − h and J − I alike, and cancels in the step.
UNRESOLVED = 1e-3

# Distance from a saddle at which the flow starts, relative to the spread of the starts.
DISPLACEMENT = 0.02

# States closer than this, relative to the spread of the starts, are the same point.
SAME_ROOT = 1e-6
SAME_SLOW_POINT = 1e-3


class Budget:
    """Starts and seconds of a search, and groups of linear regions of a relu map.

    Seconds are those of the processor, so that other work on the machine does not cut a search.

    Attributes:
        max_starts: starts, including those that the search adds.
        max_seconds: seconds of this process since the budget was made, or None.
        max_regions: groups of linear regions; None leaves it to the number of relus.
    """

    max_starts: int
    max_seconds: float | None
    max_regions: int | None

    def __init__(self, max_starts: int, max_seconds: float | None, max_regions: int | None = None):
        self.max_starts, self.max_seconds, self.max_regions = max_starts, max_seconds, max_regions
        self._begun = time.process_time()

    @property
    def out_of_time(self) -> bool:
        """Whether the seconds are spent."""
        return self.max_seconds is not None and time.process_time() - self._begun > self.max_seconds


class Multistart:
    """Points found so far, and how often each was reached.

    Attributes:
        cut: why the search ended before it was finished; empty if it was not cut.
    """

    cut: str

    def __init__(
        self,
        step: Step,
        inputs: Float[Array, " m"] | None,
        box: Box | None,
        tol: float,
        slow_tol: float,
        spread: float,
        start_range: Box,  # of the given starts, widened by their spread
        region: tuple[Float[Array, " n"], Float[Array, " n"]],  # outside of it a search is abandoned
        budget: Budget,
    ):
        self.step, self.inputs, self.box, self.start_range, self.region = step, inputs, box, start_range, region
        self.tol, self.slow_tol, self.spread, self.budget = tol, slow_tol, spread, budget
        self.n_starts = 0
        self.rejected: Counter[str] = Counter()
        self.points: list[Point] = []
        self.cut = ""

    @property
    def stopped(self) -> bool:
        """Whether the budget is spent; noted in ``cut``, so ask only while there is more to do."""
        if self.n_starts >= self.budget.max_starts:
            self.cut = f"the budget of {self.budget.max_starts:,} starts is spent"
        return self.out_of_time or bool(self.cut)

    @property
    def out_of_time(self) -> bool:
        """Whether the seconds are spent; noted in ``cut``."""
        if self.budget.out_of_time:
            self.cut = f"the budget of {self.budget.max_seconds:g} seconds is spent"
        return self.budget.out_of_time

    @property
    def limits(self) -> Box:
        """The box, or bounds of the region that is searched."""
        return self.box if self.box is not None else (np.asarray(self.region[0]), np.asarray(self.region[1]))

    def clip(self, states: NDArray[np.float64]) -> NDArray[np.float64]:
        """Project states into the box, if there is one."""
        return states if self.box is None else np.clip(states, *self.box)

    def search(self, starts: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Search from these starts and merge the results; return where each ended, and its outcome.

        Starts left when the seconds are spent are not searched: NaN, ``Outcome.RUNNING``.
        """
        states, outcomes = np.full(starts.shape, np.nan), np.full(len(starts), int(Outcome.RUNNING))
        n = starts.shape[1]
        size = int(np.clip(CALL_COST // n**3, FEWEST_IN_CALL, CHUNK))
        for begin in range(0, len(starts), size):
            if begin and self.out_of_time:
                break
            chunk = starts[begin : begin + size]
            padded = np.zeros((CHUNK, n))
            padded[: len(chunk)] = chunk
            results = search_roots(
                self.step,
                jnp.asarray(padded),
                jnp.asarray(len(chunk)),
                self.inputs,
                (jnp.asarray(self.tol), jnp.asarray(self.slow_tol)),
                self.region,
            )
            self.n_starts += len(chunk)
            rows = slice(begin, begin + len(chunk))
            states[rows] = np.asarray(results.states)[: len(chunk)]
            outcomes[rows] = np.asarray(results.outcomes)[: len(chunk)]
            self._add(states[rows], outcomes[rows])
        return states, outcomes

    def follow(self, starts: NDArray[np.float64]) -> None:
        """Search from the ends of the flow from these starts, up to the budget of starts."""
        runs = starts[: max(self.budget.max_starts - self.n_starts, 0)]
        if not len(runs) or self.uncountable:
            return
        ends = flow_ends(self.step, runs, self.inputs, FLOW_STEPS, REST * self.spread)
        finite = np.isfinite(ends).all(axis=1)
        self.rejected["not finite"] += int((~finite).sum())
        self.n_starts += int((~finite).sum())
        if finite.any():
            self.search(ends[finite])

    def reach(self, starts: NDArray[np.float64]) -> list[Point | None]:
        """Search from these starts, up to the budget of starts; return the root that each reached, or None."""
        given = starts[: max(self.budget.max_starts - self.n_starts, 0)]
        if len(given) < len(starts):
            self.cut = f"the budget of {self.budget.max_starts:,} starts is spent"
        states, outcomes = self.search(self.clip(given))
        reached: list[Point | None] = [None] * len(starts)
        roots = self.roots
        known = np.array([point.state for point in roots]).reshape(len(roots), starts.shape[1])
        for row in np.flatnonzero(outcomes == Outcome.ROOT) if roots else ():
            distances = np.linalg.norm(known - states[row], axis=1)
            nearest = int(distances.argmin())
            if distances[nearest] < UNRESOLVED * self.spread:
                reached[row] = roots[nearest]
        return reached

    def add_roots(self, states: NDArray[np.float64], hits: list[int]) -> None:
        """Add roots that were found otherwise, each at its polished state."""
        self._merge(states, hits)

    @property
    def roots(self) -> list[Point]:
        """Roots, without the slow points."""
        return [point for point in self.points if not point.is_slow]

    @property
    def index_sum(self) -> int:
        """Sum of the indices of all roots."""
        return sum(point.index for point in self.roots)

    @property
    def uncountable(self) -> bool:
        """Whether there are more roots than starts can count, as on a continuum or where gates are nearly closed."""
        singletons = self.n_singletons
        return singletons >= UNCOUNTABLE and 2 * singletons > len(self.roots)

    @property
    def on_continuum(self) -> bool:
        """Whether the roots lie on a continuum, which has no graph: most were reached once and have an eigenvalue 1."""
        once = [point for point in self.roots if point.hits == 1]
        neutral = sum(bool(np.abs(point.eigenvalues - 1).min() < NEUTRAL) for point in once)
        return len(once) >= ON_CONTINUUM and 2 * len(once) > len(self.roots) and 2 * neutral > len(once)

    @property
    def n_singletons(self) -> int:
        """Roots that only one start reached."""
        return sum(point.hits == 1 for point in self.roots)

    def _add(self, states: NDArray[np.float64], outcomes: NDArray[np.int64]) -> None:
        """Count the rejected outcomes by reason and merge the other states."""
        self.rejected["not converged"] += int((outcomes == Outcome.NOT_CONVERGED).sum())
        self.rejected["stalled"] += int((outcomes == Outcome.STALLED).sum())
        self.rejected["not finite"] += int((outcomes == Outcome.NOT_FINITE).sum())
        outside = "far from the starts" if self.box is None else "outside the box"
        self.rejected[outside] += int((outcomes == Outcome.ESCAPED).sum())
        ended = (outcomes == Outcome.ROOT) | (outcomes == Outcome.MINIMUM)
        inside = ended & self.inside(states)
        self.rejected["outside the box"] += int((ended & ~inside).sum())
        for kind, radius in ((Outcome.ROOT, SAME_ROOT), (Outcome.MINIMUM, SAME_SLOW_POINT)):
            candidates = states[inside & (outcomes == kind)]
            groups = list(_groups(candidates, radius * self.spread))
            if groups:
                self._merge(np.array([candidates[group[0]] for group in groups]), [len(group) for group in groups])

    def _merge(self, states: NDArray[np.float64], hits: list[int]) -> None:
        """Polish states, accept or reject each at its polished point, and merge it with the known points."""
        polished, residuals, jacobians, kinks = in_chunks(
            lambda chunk: polish(self.step, chunk, self.inputs), states, POLISH_CHUNK
        )
        inside = self.inside(polished)
        for point in range(len(polished)):
            state, residual, jacobian = polished[point], residuals[point], jacobians[point]
            q = 0.5 * float(residual @ residual)
            if not inside[point]:
                self.rejected["outside the box"] += hits[point]
            elif not q <= self.slow_tol:
                self.rejected["local minimum of q above slow_tol"] += hits[point]
            elif not self._merge_known(state, q > self.tol, 0.0, hits[point]):
                newton_step = length_of_newton_step(residual, jacobian)
                if self._is_shut(state, jacobian) or (q <= self.tol and newton_step > UNRESOLVED * self.spread):
                    self.rejected["shut gate"] += hits[point]
                    continue
                sides = self._sides(state) if kinks[point] else jacobian[None]
                found = Point.at(state, q, q > self.tol, jacobian, sides, hits[point], newton_step)
                if not self._merge_known(state, found.is_slow, found.error, found.hits):
                    self.points.append(found)

    def _merge_known(self, state: NDArray[np.float64], is_slow: bool, error: float, hits: int) -> bool:
        """Add the hits to the known point that is within ``error`` of this one; return whether there is one."""
        alike = [known for known in self.points if known.is_slow == is_slow]
        if not alike:
            return False
        smallest = (SAME_SLOW_POINT if is_slow else SAME_ROOT) * self.spread
        errors = np.clip([max(known.error, error) for known in alike], smallest, UNRESOLVED * self.spread)
        excess = np.linalg.norm([known.state - state for known in alike], axis=1) - errors
        nearest = int(excess.argmin())
        if excess[nearest] < 0:
            alike[nearest].hits += hits
        return bool(excess[nearest] < 0)

    def _sides(self, state: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return Jacobians at random displacements around a kink, the same for every point."""
        directions = np.random.default_rng(0).normal(size=(SIDES, len(state)))
        return jacobians_at(self, state + 10 * KINK_RADIUS * directions)

    def _is_shut(self, state: NDArray[np.float64], jacobian: NDArray[np.float64]) -> bool:
        """Whether a unit beyond all given starts stands still: its gate is closed to the last digit, at any value."""
        low, high = self.start_range
        still = np.linalg.norm(jacobian - np.eye(len(state)), axis=1) < DEGENERATE
        return bool((still & ((state < low) | (state > high))).any())

    def inside(self, states: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether each state is in the box; without a box, whether it is finite."""
        if self.box is None:
            return np.asarray(np.isfinite(states).all(axis=1))
        low, high = self.box
        slack = 1e-9 * np.minimum(high - low, 1e300)
        return np.asarray(((states >= low - slack) & (states <= high + slack)).all(axis=1))


def jacobians_at(search: Multistart, states: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return J at each state."""
    return in_chunks(lambda chunk: (jacobians(search.step, chunk, search.inputs),), states, SIDES)[0]


def _groups(states: NDArray[np.float64], radius: float) -> Iterator[NDArray[np.int64]]:
    """Split the indices of states into groups within ``radius`` of their first member."""
    left = np.arange(len(states))
    while len(left):
        near = np.linalg.norm(states[left] - states[left[0]], axis=1) < radius
        near[0] = True
        yield left[near]
        left = left[~near]
