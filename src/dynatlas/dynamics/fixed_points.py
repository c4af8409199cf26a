"""Fixed points and slow points of a recurrent map under a static input, with a completeness certificate.

A *root* is a state with q(h) = ½‖F(h, x) − h‖² ≤ 1e-20 in float64. A *slow point* is a local minimum of q that is
not a root. The two are never mixed.

The certificate: when F maps a box into itself, the indices sign det(I − J) of all its roots add up to exactly 1
(Lefschetz–Hopf). A sum other than 1 proves that a root is missing, false or degenerate, and the search goes on from
new starts. A sum of 1 cannot prove that none is missing, since two missing roots of opposite index cancel; the number
of roots that were reached only once (``hits == 1``) is the hint for that.
"""

from collections import Counter
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray
from numpy.typing import NDArray

from dynatlas._util.arrays import generator
from dynatlas._util.display import Card, Shown
from dynatlas.dynamics.multistart import ROUND, Collection, _more_starts, _region
from dynatlas.dynamics.root_search import FOLLOWED, Step, after

Certificate = Literal["complete", "incomplete", "not certifiable"]


class Coverage(NamedTuple):
    """What the number of hits says of roots not seen yet.

    Attributes:
        share: Good–Turing's estimate of the probability that a further start ends at a root already found.
        expected: Chao's lower bound on the number of roots, unseen ones included.
    """

    share: float
    expected: float


@dataclass(frozen=True, eq=False, repr=False)
class FixedPoints(Shown):
    """The roots and slow points of one map under one static input.

    Roots come first, then slow points; within each, fewer unstable directions first.

    Attributes:
        states: the points [p, n].
        q: ½‖F(h) − h‖² at exactly these points [p].
        is_slow: whether a point is a slow point rather than a root [p].
        n_unstable: eigenvalues of the Jacobian with |λ| > 1 [p].
        eigenvalues: of the Jacobian J = ∂F/∂h, by descending |λ| [p, n].
        index: sign det(I − J); 0 for slow points, for roots too close to degenerate to tell, and for roots on a kink
            around which the sign changes [p].
        newton_step: length of the Newton step at the point, with the gates divided out: F(h) − h and J − I are both
            scaled by 1 − gate, which makes q small where a gate is all but shut, and cancels from their quotient [p].
        on_kink: whether F has a kink within 1e-7 of the point, as where the input of a relu is 0; the Jacobian there
            is that of one side [p].
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

    def _card(self) -> Card:
        roots = self.roots()
        by_instability = Counter(roots.n_unstable.tolist())
        counts = ", ".join(f"{count} with {n} unstable" for n, count in sorted(by_instability.items()))
        rejected = ", ".join(f"{count} {reason}" for reason, count in self.rejected.items() if count)
        return Card(
            f"FixedPoints in {self.states.shape[1]} dimensions",
            (
                ("roots", f"{len(roots)}{f' ({counts})' if counts else ''}"),
                ("slow points", str(int(self.is_slow.sum()))),
                ("index sum", f"{self.index_sum}: {self.certificate}"),
                ("starts", f"{self.n_starts:,}; rejected: {rejected or 'none'}"),
            ),
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
    Then the search adds starts of its own, in rounds: between the points found, along their leading eigenvectors, and
    around the given starts at several scales. It ends after a round that finds no new root; with a box only if the
    index sum is 1, else it goes on until ``max_starts``. In any case it ends once 100 roots or more, most of all, were
    reached from one start only, as on a continuum. Everything is computed in float64, whatever JAX's default is.

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
        collection = Collection(step, static, bounds, tol, slow_tol, spread, known, _region(starts, bounds, spread))
        collection.round(starts, starts[:FOLLOWED], max_starts)
        while not collection.finished and collection.n_starts < max_starts:
            count = min(ROUND, max_starts - collection.n_starts)
            collection.round(_more_starts(collection, starts, spread, count, random), starts[:0], max_starts)
        return _fixed_points(collection)


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
    images = after(step, inside, static, 1)
    excess = np.maximum(low - images, images - high) / np.maximum(1, np.minimum(high - low, 1e300))
    if np.nanmax(excess, initial=-np.inf) > 1e-6:
        raise ValueError(
            f"box is not invariant: step leaves it by {np.nanmax(excess):.3g} of its width; give a box that step maps "
            "into itself, or None"
        )


def _fixed_points(collection: Collection) -> FixedPoints:
    """Everything found, in an order that does not depend on the order of the starts."""
    # Rounded, so that the last digits, which do depend on the path to a point, cannot swap two points.
    ordered = sorted(
        collection.points,
        key=lambda point: (point.is_slow, point.n_unstable, tuple(np.round(point.state / collection.spread, 4))),
    )
    n = len(ordered[0].state) if ordered else 0
    degenerate = any(point.index == 0 for point in collection.roots)
    certificate: Certificate = "complete" if collection.index_sum == 1 and not degenerate else "incomplete"
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
        certificate=certificate if collection.box is not None else "not certifiable",
        rejected={reason: count for reason, count in sorted(collection.rejected.items()) if count},
        n_starts=collection.n_starts,
    )


def coverage(hits: Any) -> Coverage:
    """Estimate from how often each root was hit what has not been hit at all.

    With N hits, f₁ roots hit once and f₂ hit twice: share 1 − f₁/N, expected S + f₁(f₁ − 1)/(2(f₂ + 1)). Both treat the
    starts as independent draws, which those that the search adds are not: hints, no proof.

    Example:
        >>> coverage([40, 31, 1, 1])
        Coverage(share=0.972..., expected=5.0)

    Source: Good 1953; Chao 1984, bias-corrected.
    """
    hits = np.asarray(hits)
    once, twice = int((hits == 1).sum()), int((hits == 2).sum())
    total = int(hits.sum())
    return Coverage(1 - once / total if total else 0.0, len(hits) + once * (once - 1) / (2 * (twice + 1)))
