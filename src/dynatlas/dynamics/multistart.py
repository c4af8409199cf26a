"""What a search has found so far: which endings are points, which are one point, and whether to go on."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from dynatlas._util.arrays import in_chunks
from dynatlas.dynamics.linearization import mode_order
from dynatlas.dynamics.root_search import KINK_REACH, Outcome, Step, after, jacobians, polish, search_roots

CHUNK = 1024  # starts per call of the compiled search


POLISHED = 32  # points per call of the compiled polishing


FLOW_STEPS = 1000


# The flow has led to its end when no number moves by more than this in a step, relative to the spread of the starts.
REST = 1e-9


# Roots whose I − J is this close to singular have no index that float64 could tell.
DEGENERATE = 1e-9


# With so many roots reached from one start only, and more than half of all, more starts find more roots without end.
UNCOUNTABLE = 100


# Sides of a kink that are looked at.
SIDES = 16


# A point whose Newton step is longer than this, relative to the spread of the starts, is not at a root however small q
# is: a gate that is all but shut scales F(h) − h and J − I alike, and the step, their quotient, sees through it.
UNRESOLVED = 1e-3


# How far from a saddle the flow is followed from, relative to the spread of the starts.
DISPLACEMENT = 0.02


# Two endings are one point when they differ by less than this, relative to the spread of the starts.
SAME_ROOT = 1e-6


SAME_SLOW_POINT = 1e-3


class Collection:
    """The points found so far, and how often each was reached."""

    def __init__(
        self,
        step: Step,
        inputs: jax.Array | None,
        box: tuple[NDArray[np.float64], NDArray[np.float64]] | None,
        tol: float,
        slow_tol: float,
        spread: float,
        known: tuple[NDArray[np.float64], NDArray[np.float64]],
        region: tuple[jax.Array, jax.Array],
    ):
        self.step, self.inputs, self.box, self.known, self.region = step, inputs, box, known, region
        self.tol, self.slow_tol, self.spread = tol, slow_tol, spread
        self.n_starts = 0
        self.rejected: Counter[str] = Counter()
        self.found_nothing_new = False
        self.points: list[Point] = []

    def round(self, starts: NDArray[np.float64], followed: NDArray[np.float64], max_starts: int) -> None:
        """Search from ``starts``, and from where the flow leads from ``followed`` and from the saddles found."""
        known = len(self.roots)
        self._search(starts)
        self._follow(followed, max_starts)
        self.found_nothing_new = len(self.roots) == known

    def _search(self, starts: NDArray[np.float64]) -> None:
        """Search from these starts and add what they reach."""
        for begin in range(0, len(starts), CHUNK):
            chunk = starts[begin : begin + CHUNK]
            padded = np.zeros((CHUNK, starts.shape[1]))
            padded[: len(chunk)] = chunk
            endings = search_roots(
                self.step,
                jnp.asarray(padded),
                jnp.asarray(len(chunk)),
                self.inputs,
                (jnp.asarray(self.tol), jnp.asarray(self.slow_tol)),
                self.region,
            )
            self.n_starts += len(chunk)
            self._add(np.asarray(endings.states)[: len(chunk)], np.asarray(endings.outcomes)[: len(chunk)])

    def _follow(self, starts: NDArray[np.float64], max_starts: int) -> None:
        """Search from where the flow leads: from these starts, and from every saddle not followed yet."""
        while True:
            fresh = [point for point in self.roots if not point.followed]
            displacement = DISPLACEMENT * self.spread * np.sqrt(starts.shape[1])
            sources = [starts, *(point.state + displacement * point.unstable_directions for point in fresh)]
            sources += [point.state - displacement * point.unstable_directions for point in fresh]
            runs = np.concatenate(sources)[: max(max_starts - self.n_starts, 0)]
            for point in fresh:
                point.followed = True
            if not len(runs) or self.uncountable:
                break
            ends = after(self.step, runs, self.inputs, FLOW_STEPS, REST * self.spread)
            finite = np.isfinite(ends).all(axis=1)
            self.rejected["not finite"] += int((~finite).sum())
            self.n_starts += int((~finite).sum())
            if finite.any():
                self._search(ends[finite])
            starts = starts[:0]

    @property
    def roots(self) -> "list[Point]":
        """The points that are roots, without the slow ones."""
        return [point for point in self.points if not point.is_slow]

    @property
    def index_sum(self) -> int:
        """The sum of the indices of all roots."""
        return sum(point.index for point in self.roots)

    @property
    def uncountable(self) -> bool:
        """Whether there are more roots than starts could count, as on a continuum, or where gates are all but shut."""
        singletons = sum(point.hits == 1 for point in self.roots)
        return singletons >= UNCOUNTABLE and 2 * singletons > len(self.roots)

    @property
    def finished(self) -> bool:
        """Whether nothing speaks for another round: a sum of 1 alone may be that of roots that happen to add up."""
        settled = self.found_nothing_new and (self.box is None or self.index_sum == 1)
        return settled or self.uncountable

    def _add(self, states: NDArray[np.float64], outcomes: NDArray[np.int64]) -> None:
        self.rejected["not converged"] += int((outcomes == Outcome.NOT_CONVERGED).sum())
        self.rejected["stalled"] += int((outcomes == Outcome.STALLED).sum())
        self.rejected["not finite"] += int((outcomes == Outcome.NOT_FINITE).sum())
        outside = "far from the starts" if self.box is None else "outside the box"
        self.rejected[outside] += int((outcomes == Outcome.ESCAPED).sum())
        ended = (outcomes == Outcome.ROOT) | (outcomes == Outcome.MINIMUM)
        inside = ended & self._inside(states)
        self.rejected["outside the box"] += int((ended & ~inside).sum())
        for kind, radius in ((Outcome.ROOT, SAME_ROOT), (Outcome.MINIMUM, SAME_SLOW_POINT)):
            candidates = states[inside & (outcomes == kind)]
            groups = list(_groups(candidates, radius * self.spread))
            if groups:
                self._merge(np.array([candidates[group[0]] for group in groups]), [len(group) for group in groups])

    def _merge(self, states: NDArray[np.float64], hits: list[int]) -> None:
        """Polish the endings, judge each at the point it is returned, and merge it with what is known."""
        polished, residuals, jacobians, kinks = in_chunks(
            lambda chunk: polish(self.step, chunk, self.inputs), states, POLISHED
        )
        inside = self._inside(polished)
        for point in range(len(polished)):
            state, residual, jacobian = polished[point], residuals[point], jacobians[point]
            speed = 0.5 * float(residual @ residual)
            if not inside[point]:
                self.rejected["outside the box"] += hits[point]
            elif not speed <= self.slow_tol:
                self.rejected["local minimum of q above slow_tol"] += hits[point]
            elif not self._is_known(state, speed > self.tol, 0.0, hits[point]):
                newton_step = _newton_step(residual, jacobian)
                if self._is_shut(state, jacobian) or (speed <= self.tol and newton_step > UNRESOLVED * self.spread):
                    self.rejected["shut gate"] += hits[point]
                    continue
                sides = self._sides(state) if kinks[point] else jacobian[None]
                found = Point.at(state, speed, speed > self.tol, jacobian, sides, hits[point], newton_step)
                if not self._is_known(state, found.is_slow, found.blur, found.hits):
                    self.points.append(found)

    def _is_known(self, state: NDArray[np.float64], is_slow: bool, blur: float, hits: int) -> bool:
        """Whether a point cannot be told from one that is known, which then gets its hits."""
        alike = [known for known in self.points if known.is_slow == is_slow]
        if not alike:
            return False
        least = (SAME_SLOW_POINT if is_slow else SAME_ROOT) * self.spread
        blurs = np.clip([max(known.blur, blur) for known in alike], least, UNRESOLVED * self.spread)
        excess = np.linalg.norm([known.state - state for known in alike], axis=1) - blurs
        nearest = int(excess.argmin())
        if excess[nearest] < 0:
            alike[nearest].hits += hits
        return bool(excess[nearest] < 0)

    def _sides(self, state: NDArray[np.float64]) -> NDArray[np.float64]:
        """The Jacobians around a kink: on sides of it drawn at random, the same for every point."""
        directions = np.random.default_rng(0).normal(size=(SIDES, len(state)))
        return in_chunks(
            lambda chunk: (jacobians(self.step, chunk, self.inputs),), state + 10 * KINK_REACH * directions, SIDES
        )[0]

    def _is_shut(self, state: NDArray[np.float64], jacobian: NDArray[np.float64]) -> bool:
        """Whether a unit stands still beyond all given starts: its gate is 1 to the last digit, at any value it has."""
        low, high = self.known
        still = np.linalg.norm(jacobian - np.eye(len(state)), axis=1) < DEGENERATE
        return bool((still & ((state < low) | (state > high))).any())

    def _inside(self, states: NDArray[np.float64]) -> NDArray[np.bool_]:
        if self.box is None:
            return np.asarray(np.isfinite(states).all(axis=1))
        low, high = self.box
        slack = 1e-9 * np.minimum(high - low, 1e300)
        return np.asarray(((states >= low - slack) & (states <= high + slack)).all(axis=1))


@dataclass
class Point:
    """One point, with what is known of it."""

    state: NDArray[np.float64]
    q: float
    is_slow: bool
    n_unstable: int
    eigenvalues: NDArray[np.complex128]
    direction: NDArray[np.float64]  # real part of the leading eigenvector, for new starts
    unstable_directions: NDArray[np.float64]  # real and imaginary parts of the eigenvectors with |λ| > 1
    index: int
    hits: int
    newton_step: float
    blur: float  # how far the root may be from it
    on_kink: bool
    followed: bool = False

    @classmethod
    def at(
        cls,
        state: NDArray[np.float64],
        q: float,
        is_slow: bool,
        jacobian: NDArray[np.float64],
        sides: NDArray[np.float64],
        hits: int,
        newton_step: float,
    ) -> "Point":
        """A point with its Jacobian, and those on all sides where it is on a kink."""
        eigenvalues, vectors = np.linalg.eig(jacobian)
        order = mode_order(eigenvalues)
        identity = np.eye(len(state))
        signs = np.linalg.slogdet(identity - sides)[0]
        smallest = float(np.linalg.svd(identity - sides, compute_uv=False)[:, -1].min())
        # Around a kink the map is linear in cones; if it turns none of them over, its index is their common sign.
        index = int(signs[0]) if not is_slow and smallest >= DEGENERATE and (signs == signs[0]).all() else 0
        return cls(
            state=state,
            q=q,
            is_slow=is_slow,
            n_unstable=int((np.abs(eigenvalues) > 1).sum()),
            eigenvalues=eigenvalues[order].astype(complex),
            direction=np.ascontiguousarray(vectors[:, order[0]].real),
            unstable_directions=_real_directions(vectors[:, np.abs(eigenvalues) > 1]),
            index=index,
            hits=hits,
            newton_step=newton_step,
            # F(h) − h is rounded at about this many digits of h, which I − J turns into an error of the point.
            blur=newton_step + 16 * np.finfo(float).eps * float(np.linalg.norm(state)) / max(smallest, 1e-300),
            on_kink=len(sides) > 1,
        )


def _newton_step(residual: NDArray[np.float64], jacobian: NDArray[np.float64]) -> float:
    """The length of the Newton step, with the gates divided out."""
    matrix = jacobian - np.eye(len(residual))
    # Rows are scaled to length 1, each with its residual, which undoes what the gates do; a direction without any
    # restoring force, as along a line attractor, then has singular value 0 and is left out.
    lengths = np.linalg.norm(matrix, axis=1)
    scale = np.where(lengths > 0, lengths, 1)
    return float(np.linalg.norm(np.linalg.lstsq(matrix / scale[:, None], residual / scale, rcond=1e-8)[0]))


def _real_directions(vectors: NDArray[Any]) -> NDArray[np.float64]:
    """Unit vectors [k, n] along the real and the imaginary parts of eigenvectors [n, k]."""
    parts = np.concatenate([vectors.real, vectors.imag], axis=1).T
    lengths = np.linalg.norm(parts, axis=1)
    return np.asarray(parts[lengths > 1e-9] / lengths[lengths > 1e-9, None])


def _groups(states: NDArray[np.float64], radius: float) -> Iterator[NDArray[np.int64]]:
    """Split states into groups that lie within ``radius`` of their first member."""
    left = np.arange(len(states))
    while len(left):
        near = np.linalg.norm(states[left] - states[left[0]], axis=1) < radius
        near[0] = True
        yield left[near]
        left = left[~near]


ROUND = 256  # starts that the search adds at a time, while it goes on


# How far a search may stray: from a box by its half width, without one by ten times the range of the starts.
BOX_MARGIN = 1.0


RANGE_MARGIN = 10.0


def _region(
    starts: NDArray[np.float64], box: tuple[NDArray[np.float64], NDArray[np.float64]] | None, spread: float
) -> tuple[jax.Array, jax.Array]:
    """Where a search may go."""
    if box is not None:
        low, high = box
        margin = BOX_MARGIN * np.minimum(high - low, 1e300) / 2
    else:
        low, high = starts.min(axis=0), starts.max(axis=0)
        margin = RANGE_MARGIN * np.maximum(high - low, spread)
    return jnp.asarray(low - margin), jnp.asarray(high + margin)


def _more_starts(
    collection: Collection,
    starts: NDArray[np.float64],
    spread: float,
    count: int,
    random: np.random.Generator,
) -> NDArray[np.float64]:
    """New starts: between the points found, along their leading eigenvectors, around the given starts."""
    n = starts.shape[1]
    scales = random.choice([0.1, 0.5, 1.0, 2.0], size=(count, 1))
    # Units differ in range, the memory of an LSTM most of all.
    ranges = np.maximum(starts.std(axis=0), 0.1 * spread)
    noise = scales * ranges * random.normal(size=(count, n))
    fresh: NDArray[np.float64] = starts[random.integers(len(starts), size=count)] + noise
    points = collection.points
    if len(points) > 1:
        states = np.array([point.state for point in points])
        between = count // 2
        first, second = random.integers(len(points), size=(2, between))
        gap = states[second] - states[first]
        share = random.uniform(0.2, 0.8, size=(between, 1))
        jitter = 0.1 * np.linalg.norm(gap, axis=1, keepdims=True) / np.sqrt(n)
        fresh[:between] = states[first] + share * gap + jitter * random.normal(size=(between, n))
        along = random.integers(len(points), size=count // 4)
        directions = np.array([point.direction for point in points])
        reach = spread * np.sqrt(n) * random.uniform(-1, 1, size=(len(along), 1))
        fresh[between : between + len(along)] = states[along] + reach * directions[along]
    if collection.box is not None:
        fresh = np.clip(fresh, *collection.box)
    return fresh
