"""Fixed points and slow points of a recurrent map under a static input, with a completeness certificate.

A *root* is a state with q(h) = ½‖F(h, x) − h‖² ≤ 1e-20 in float64. A *slow point* is a local minimum of q that is
not a root. The two are never mixed.

The certificate: when F maps a box into itself, the indices sign det(I − J) of all its roots add up to exactly 1
(Lefschetz–Hopf). A sum other than 1 proves that a root is missing, false or degenerate, and the search goes on from
new starts. A sum of 1 cannot prove that none is missing, since two missing roots of opposite index cancel; the number
of roots that were reached only once (``hits == 1``) is the hint for that.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray
from numpy.typing import NDArray

from dynatlas.batches import generator, in_chunks
from dynatlas.certificates import Coverage, coverage
from dynatlas.linearization import linearize, mode_order
from dynatlas.root_search import KINK_REACH, Outcome, Step, follow_flow, polish, search_roots

Certificate = Literal["complete", "incomplete", "not certifiable"]

CHUNK = 1024  # starts per call of the compiled search
POLISHED = 32  # points per call of the compiled polishing
ROUND = 256  # starts that the search adds at a time, while it goes on
FOLLOWED = 64  # given starts from which the flow is followed, also states per call, and for how many steps
FLOW_STEPS = 1000
# Roots whose I − J is this close to singular have no index that float64 could tell.
DEGENERATE = 1e-9
# With so many roots reached from one start only, and more than half of all, more starts find more roots without end.
UNCOUNTABLE = 100
# Sides of a kink that are looked at.
SIDES = 16
# A point whose Newton step is longer than this, relative to the spread of the starts, is not at a root however small q
# is: a gate that is all but shut scales F(h) − h and J − I alike, and the step, their quotient, sees through it.
UNRESOLVED = 1e-3
# How far a search may stray: from a box by its half width, without one by ten times the range of the starts.
BOX_MARGIN = 1.0
RANGE_MARGIN = 10.0
# How far from a saddle the flow is followed from, relative to the spread of the starts.
DISPLACEMENT = 0.02
# Two endings are one point when they differ by less than this, relative to the spread of the starts.
SAME_ROOT = 1e-6
SAME_SLOW_POINT = 1e-3


@dataclass(frozen=True, eq=False)
class FixedPoints:
    """The roots and slow points of one map under one static input.

    Roots come first, then slow points; within each, fewer unstable directions first.

    Attributes:
        states: the points [p, n].
        q: ½‖F(h) − h‖² at exactly these points [p].
        is_slow: whether a point is a slow point rather than a root [p].
        n_unstable: eigenvalues of the Jacobian with |λ| > 1 [p].
        eigenvalues: of the Jacobian J = ∂F/∂h, by descending |λ| [p, n].
        index: sign det(I − J); 0 for slow points, and for roots too close to degenerate to tell, or on a kink around
        which
            the sign changes [p].
        newton_step: length of the Newton step at the point, with the gates divided out: F(h) − h and J − I are both
        scaled
            by 1 − gate, which makes q small where a gate is all but shut, and their quotient does not see it [p].
        on_kink: whether F has a kink within 1e-7 of the point, as where the input of a relu is 0; what is said there of
            the Jacobian holds on one side [p].
        hits: how many starts ended at the point [p].
        index_sum: the sum of the roots' indices.
        certificate: "complete" (a box is known and the sum is 1), "incomplete" (a box is known and the sum is not 1,
            or a root is degenerate), or "not certifiable" (no box is known).
        rejected: how many starts were rejected, by reason.
        n_starts: how many starts were used, the search's own included.
    """

    states: NDArray[np.float64]
    q: NDArray[np.float64]
    is_slow: NDArray[np.bool_]
    n_unstable: NDArray[np.int64]
    eigenvalues: NDArray[np.complex128]
    index: NDArray[np.int64]
    newton_step: NDArray[np.float64]
    on_kink: NDArray[np.bool_]
    hits: NDArray[np.int64]
    certificate: Certificate
    rejected: dict[str, int]
    n_starts: int

    @property
    def index_sum(self) -> int:
        """The sum of the roots' indices."""
        return int(self.index.sum())

    @property
    def n_singletons(self) -> int:
        """Roots that only one start reached."""
        return int(((self.hits == 1) & ~self.is_slow).sum())

    @property
    def coverage(self) -> Coverage:
        """What the hits say of roots not seen: a hint beside the certificate."""
        return coverage(self.hits[~self.is_slow])

    def __len__(self) -> int:
        return len(self.q)

    def roots(self) -> "FixedPoints":
        """The roots alone."""
        return self.take(np.flatnonzero(~self.is_slow))

    def take(self, order: Any) -> "FixedPoints":
        """The points at these positions, in this order."""
        order = np.asarray(order, int)
        per_point = [field.name for field in fields(self) if isinstance(getattr(self, field.name), np.ndarray)]
        return replace(self, **{name: getattr(self, name)[order] for name in per_point})

    def __repr__(self) -> str:
        roots = self.roots()
        by_instability = Counter(roots.n_unstable.tolist())
        counts = ", ".join(f"{count} with {n} unstable" for n, count in sorted(by_instability.items()))
        return (
            f"FixedPoints({len(roots)} roots ({counts or 'none'}), {int(self.is_slow.sum())} slow points, "
            f"index sum {self.index_sum}, {self.certificate}, {self.n_starts} starts, rejected {self.rejected})"
        )


def find_fixed_points(
    step: Step,
    initial_states: Any,
    inputs: Any | None = None,
    *,
    box: tuple[Any, Any] | None = None,
    tol: float = 1e-20,
    slow_tol: float = 1e-8,
    max_starts: int = 16_384,
    key: PRNGKeyArray,
) -> FixedPoints:
    """Find the fixed points of ``step`` under a static input.

    The given starts come first. Then the flow is followed, from some of them and from every saddle along its unstable
    directions, and the search starts from where it leads: so the attractors next to every saddle found are found too.
    While the index sum is not 1, or some root was reached from one start only, the search adds starts of its own:
    between the points found, along their leading eigenvectors, and around the given starts at several scales.
    Without a box, or where a root is degenerate (as on a continuum), it gives up after a round that finds no new
    isolated root, or once most of 100 roots and more were reached from one start only; else it goes on until
    ``max_starts``. Everything is computed in float64, whatever JAX's default is.

    Args:
        step: ``step(state [n], inputs [m]) -> state [n]``, any JAX-traceable function. A callable pytree (one of our
            cells, an Equinox module) is compiled once per shape; a plain closure once per object.
        initial_states: [starts, n]: states the network visits, usually with noise added.
        inputs: [m], or None if ``step`` ignores them.
        box: (low, high), scalars or [n]: a region that ``step`` maps into itself. Roots outside it are false (a
            saturated gate makes F(h) = h to the last digit far outside) and are rejected; only with a box can the
            certificate be "complete". Our cells know theirs: ``cell.box(inputs)``.
        tol: largest q of a root.
        slow_tol: largest q of a slow point.
        max_starts: budget of starts, the given ones included.
        key: random key for the search's own starts.

    Raises:
        ValueError: shapes that do not fit, starts that are not finite, or a box that ``step`` leaves.

    Example:
        Two independent bistable units: nine fixed points, four of them stable.

        >>> step = lambda h, x: jnp.tanh(2 * h)
        >>> starts = jax.random.normal(jax.random.key(0), (100, 2))
        >>> points = find_fixed_points(step, starts, box=(-1, 1), key=jax.random.key(1))
        >>> len(points), points.n_unstable.tolist(), points.index_sum, points.certificate
        (9, [0, 0, 0, 0, 1, 1, 1, 1, 2], 1, 'complete')

    Source: Sussillo & Barak 2013 for q; the index sum is the Lefschetz–Hopf theorem. FixedPointFinder (Golub & Sussillo
    2018) minimises q by Adam and keeps half-converged points.
    """
    with jax.enable_x64(True):
        starts, static, bounds = _checked(step, initial_states, inputs, box, tol, slow_tol)
        spread = float(np.sqrt(starts.var(axis=0).mean()))
        if spread < 1e-6:  # a lone start says nothing of the scale of things; units live on a scale of 1
            spread = 1.0
        random = generator(key)

        known = (starts.min(axis=0) - spread, starts.max(axis=0) + spread)
        collection = _Collection(step, static, bounds, tol, slow_tol, spread, known, _region(starts, bounds, spread))
        collection.round(starts, starts[:FOLLOWED], max_starts)
        while not collection.finished and collection.n_starts < max_starts:
            count = min(ROUND, max_starts - collection.n_starts)
            collection.round(_more_starts(collection, starts, spread, count, random), starts[:0], max_starts)
        return collection.fixed_points()


def _checked(
    step: Step,
    initial_states: Any,
    inputs: Any | None,
    box: tuple[Any, Any] | None,
    tol: float,
    slow_tol: float,
) -> tuple[NDArray[np.float64], jax.Array | None, tuple[NDArray[np.float64], NDArray[np.float64]] | None]:
    """The arguments as float64 arrays, or a ValueError that says what is wrong."""
    starts = np.asarray(initial_states, np.float64)
    if starts.ndim != 2 or 0 in starts.shape:
        raise ValueError(f"initial_states has shape {starts.shape}; expected [starts, n] with at least one of each")
    if not np.isfinite(starts).all():
        bad = int((~np.isfinite(starts)).any(axis=1).sum())
        raise ValueError(f"initial_states has NaN or infinity in {bad} of {len(starts)} rows; leave those out")
    if not 0 < tol <= slow_tol:
        raise ValueError(f"tol is {tol:g} and slow_tol {slow_tol:g}; expected 0 < tol ≤ slow_tol")
    n = starts.shape[1]
    static = None if inputs is None else jnp.asarray(np.asarray(inputs, np.float64))
    try:
        result = jax.eval_shape(step, jax.ShapeDtypeStruct((n,), jnp.float64), static)
    except TypeError as error:
        raise ValueError(f"step(state [{n}], inputs) could not be traced: {error}") from error
    if result.shape != (n,):
        raise ValueError(f"step returns shape {result.shape} for a state of shape ({n},); it must return a state")
    if result.dtype != jnp.float64:
        raise ValueError(
            f"step returns {result.dtype} for a float64 state; remove the cast inside it, since a root is q ≤ {tol:g}"
        )
    if box is None:
        return starts, static, None
    low, high = (np.broadcast_to(np.asarray(bound, np.float64), (n,)) for bound in box)
    if not (low < high).all():
        raise ValueError(f"box has low ≥ high in {int((~(low < high)).sum())} of {n} dimensions; expected (low, high)")
    _check_invariant(step, starts, static, low, high)
    return starts, static, (low, high)


def _check_invariant(
    step: Step,
    starts: NDArray[np.float64],
    static: jax.Array | None,
    low: NDArray[np.float64],
    high: NDArray[np.float64],
) -> None:
    """Refuse a box that ``step`` visibly leaves: from the first starts and from random corners."""
    random = np.random.default_rng(0)
    corners = np.where(random.random((32, len(low))) < 0.5, low, high)
    inside = np.concatenate([np.clip(starts[:32], low, high), corners[np.isfinite(corners).all(axis=1)]])
    images = _after(step, inside, static, 1)
    excess = np.maximum(low - images, images - high) / np.maximum(1, np.minimum(high - low, 1e300))
    if np.nanmax(excess, initial=-np.inf) > 1e-6:
        raise ValueError(
            f"box is not invariant: step leaves it by {np.nanmax(excess):.3g} of its width; give a box that step maps "
            "into itself, or None"
        )


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


class _Collection:
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
        self.points: list[_Point] = []

    def round(self, starts: NDArray[np.float64], followed: NDArray[np.float64], max_starts: int) -> None:
        """Search from ``starts``, and from where the flow leads from ``followed`` and from the saddles found."""
        known = len(self.isolated)
        self._search(starts)
        self._follow(followed, max_starts)
        self.found_nothing_new = len(self.isolated) == known

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
            ends = _after(self.step, runs, self.inputs, FLOW_STEPS)
            finite = np.isfinite(ends).all(axis=1)
            self.rejected["not finite"] += int((~finite).sum())
            self.n_starts += int((~finite).sum())
            if finite.any():
                self._search(ends[finite])
            starts = starts[:0]

    @property
    def roots(self) -> "list[_Point]":
        return [point for point in self.points if not point.is_slow]

    @property
    def isolated(self) -> "list[_Point]":
        """The roots but for degenerate ones, of which a continuum has as many as there are starts."""
        return [point for point in self.roots if point.index]

    @property
    def index_sum(self) -> int:
        return sum(point.index for point in self.roots)

    @property
    def uncountable(self) -> bool:
        """Whether there are more roots than starts could count, as where gates that are all but shut hold any value."""
        singletons = sum(point.hits == 1 for point in self.roots)
        return singletons >= UNCOUNTABLE and 2 * singletons > len(self.roots)

    @property
    def finished(self) -> bool:
        """Whether nothing speaks for another round."""
        enough = self.index_sum == 1 and all(point.hits > 1 for point in self.isolated)
        # Without a box, or with a degenerate root, no certificate is to be had by going on.
        hopeless = self.box is None or len(self.isolated) < len(self.roots)
        return enough or self.uncountable or (self.found_nothing_new and (hopeless or self.index_sum == 1))

    def fixed_points(self) -> FixedPoints:
        """Everything found, in an order that does not depend on the order of the starts."""
        # Rounded, so that the last digits, which do depend on the path to a point, cannot swap two points.
        ordered = sorted(
            self.points,
            key=lambda point: (point.is_slow, point.n_unstable, tuple(np.round(point.state / self.spread, 4))),
        )
        n = len(ordered[0].state) if ordered else 0
        degenerate = any(point.index == 0 for point in self.roots)
        certificate: Certificate = "complete" if self.index_sum == 1 and not degenerate else "incomplete"
        return FixedPoints(
            states=np.array([point.state for point in ordered]).reshape(len(ordered), n),
            q=np.array([point.q for point in ordered], float),
            is_slow=np.array([point.is_slow for point in ordered], bool),
            n_unstable=np.array([point.n_unstable for point in ordered], np.int64),
            eigenvalues=np.array([point.eigenvalues for point in ordered], complex).reshape(len(ordered), n),
            index=np.array([point.index for point in ordered], np.int64),
            newton_step=np.array([point.newton_step for point in ordered], float),
            on_kink=np.array([point.on_kink for point in ordered], bool),
            hits=np.array([point.hits for point in ordered], np.int64),
            certificate=certificate if self.box is not None else "not certifiable",
            rejected={reason: count for reason, count in sorted(self.rejected.items()) if count},
            n_starts=self.n_starts,
        )

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
            elif self._is_known(state, speed > self.tol, 0.0, hits[point]):
                continue
            elif not speed <= self.slow_tol:
                self.rejected["local minimum of q above slow_tol"] += hits[point]
            else:
                newton_step = _newton_step(residual, jacobian)
                if self._is_shut(state, jacobian) or (speed <= self.tol and newton_step > UNRESOLVED * self.spread):
                    self.rejected["shut gate"] += hits[point]
                    continue
                sides = self._sides(state) if kinks[point] else jacobian[None]
                found = _Point.at(state, speed, speed > self.tol, jacobian, sides, hits[point], newton_step)
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
        return linearize(self.step, state + 10 * KINK_REACH * directions, self.inputs).jacobian

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
class _Point:
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
    ) -> "_Point":
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


def _after(step: Step, states: NDArray[np.float64], inputs: jax.Array | None, steps: int) -> NDArray[np.float64]:
    """Where the flow leads in so many steps."""
    return in_chunks(lambda chunk: (follow_flow(step, chunk, inputs, jnp.asarray(steps)),), states, FOLLOWED)[0]


def _groups(states: NDArray[np.float64], radius: float) -> Iterator[NDArray[np.int64]]:
    """Split states into groups that lie within ``radius`` of their first member."""
    left = np.arange(len(states))
    while len(left):
        near = np.linalg.norm(states[left] - states[left[0]], axis=1) < radius
        near[0] = True
        yield left[near]
        left = left[~near]


def _more_starts(
    collection: _Collection,
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
