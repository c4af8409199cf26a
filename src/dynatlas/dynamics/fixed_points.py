"""Fixed points and slow points of a recurrent map under a static input, with a completeness certificate.

A *root* is a state with q(h) = ½‖F(h, x) − h‖² ≤ 1e-20 in float64. A *slow point* is a local minimum of q that is
not a root. The two are reported separately.

The certificate: if F maps a box into itself, the indices sign det(I − J) of all its roots sum to exactly 1
(Lefschetz–Hopf). Any other sum proves that a root is missing, false or degenerate, and the search continues from new
starts. A sum of 1 does not prove completeness, because two missing roots of opposite index cancel: it is "consistent".
"complete" also requires that the Morse graph closes (``completeness.morse_graph``), that no root was reached from one
start only (``hits == 1``), and that the search was not cut by its budget.

A step of affine operations and relus, with or without an update gate, has more (``piecewise_linear``): the sum of the
indices follows from its growth at infinity, and an enumeration of its linear regions proves that no root is missing.
"""

from dataclasses import replace

import jax
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from numpy.typing import NDArray

from dynatlas._util.arrays import ArrayLike, generator, key_or_default
from dynatlas.dynamics.completeness.search import Found, Problem, search_roots_of
from dynatlas.dynamics.completeness.starts import starts_in_box
from dynatlas.dynamics.multistart import Budget
from dynatlas.dynamics.points import FixedPoints
from dynatlas.dynamics.root_search import flow_ends
from dynatlas.dynamics.step import Box, Step, check_step, static_inputs

MAX_SECONDS = 120.0  # of a search


def find_fixed_points(
    step: Step,
    initial_states: ArrayLike,
    inputs: ArrayLike | None = None,
    *,
    box: tuple[ArrayLike, ArrayLike] | None = None,
    tol: float = 1e-20,
    slow_tol: float = 1e-8,
    max_starts: int = 16_384,
    max_seconds: float | None = MAX_SECONDS,
    max_regions: int | None = None,
    key: PRNGKeyArray | None = None,
) -> FixedPoints:
    """Find the fixed points of ``step`` under a static input.

    The search begins from the given starts, of which those outside the box are moved into it, and from where the flow
    leads from some of them. Then it closes the Morse graph: it follows every saddle along its unstable directions,
    finds the saddles on the boundaries between stable points by bisection, and starts wherever a root must be. Further
    starts are added in rounds: between the points found, along their leading eigenvectors, and around the given starts
    at several scales. The search stops when the graph closes, every root was reached twice and, with a box, the index
    sum is 1; or after rounds without a new root, with a box only if the sum is 1; or when a budget is spent. The sum of
    a relu network without a box is waited for alike if it is proven, and for eight rounds if it is supported. It also
    stops once at least 100 roots, and most of all roots, were reached from one start only; and four rounds after 16
    such roots with an eigenvalue of 1 show a continuum, which has no graph. A large map that is equivalent to a smaller
    one is searched there (``completeness.reduction``). All computations use float64, independent of JAX's default.

    Args:
        step: ``step(state [n], inputs [m]) -> state [n]``, any JAX-traceable function. A callable pytree (a cell, an
            Equinox module) is compiled once per shape; a plain closure once per object.
        initial_states: [starts, n], states that the network visits, usually with added noise.
        inputs: [m], or None if ``step`` ignores them.
        box: (low, high), scalars or [n]: a region that ``step`` maps into itself. Roots outside are false (a saturated
            gate makes F(h) = h to the last digit far outside) and are rejected. Only with a box can the certificate be
            "complete". The cells of dynatlas know their box: ``cell.box(inputs)``.
        tol: largest q of a root.
        slow_tol: largest q of a slow point.
        max_starts: budget of starts, including the given ones.
        max_seconds: budget of processor time of this process, or None. It is looked at between calls of compiled code;
            where it cuts the search, ``reason`` says so, and otherwise the result does not depend on it.
        max_regions: budget of groups of linear regions, each a linear program of one to three milliseconds, to prove
            that a step of affine operations, relus and update gates has no other root. 16 relus took about 750 groups,
            32 relus about 10,000. None for 1,024 with up to 16 relus, and otherwise 0.
        key: random key for the added starts; by default that of the seed 0, so that a call returns the same each time.

    Raises:
        ValueError: shapes do not fit, starts are not finite, or ``step`` leaves the box.

    Example:
        Two independent bistable units have nine fixed points, of which four are stable.

        >>> import jax.numpy as jnp
        >>> step = lambda h, x: jnp.tanh(2 * h)
        >>> starts = jax.random.normal(jax.random.key(0), (100, 2))
        >>> points = find_fixed_points(step, starts, box=(-1, 1), key=jax.random.key(1))
        >>> len(points), points.n_unstable.tolist(), points.index_sum, points.certificate
        (9, [0, 0, 0, 0, 1, 1, 1, 1, 2], 1, 'complete')

    Source: Sussillo & Barak 2013 for q; the Lefschetz–Hopf theorem for the index sum. FixedPointFinder (Golub &
    Sussillo 2018) minimises q by Adam and keeps half-converged points.
    """
    with jax.enable_x64(True):
        if max_starts < 1:
            raise ValueError(f"max_starts is {max_starts}; expected at least 1")
        starts, static, bounds = _checked(step, initial_states, inputs, box, tol, slow_tol)
        if max_regions is not None and (not isinstance(max_regions, int | np.integer) or max_regions < 0):
            raise ValueError(f"max_regions is {max_regions!r}; expected 0 for none, a whole number of groups, or None")
        budget = Budget(max_starts, max_seconds, max_regions)
        starts = starts_in_box(starts, bounds, lambda states, steps: flow_ends(step, states, static, steps))
        random = generator(key_or_default(key))
        found = search_roots_of(Problem(step, static, bounds, (tol, slow_tol), budget), starts, random)
        given = None if static is None else np.asarray(static)
        return replace(_fixed_points(found, starts.shape[1]), step=(step, given))


def _checked(
    step: Step,
    initial_states: ArrayLike,
    inputs: ArrayLike | None,
    box: tuple[ArrayLike, ArrayLike] | None,
    tol: float,
    slow_tol: float,
) -> tuple[NDArray[np.float64], Float[Array, " m"] | None, Box | None]:
    """Return the arguments as float64 arrays, or raise a ValueError that says what is wrong."""
    if np.ma.is_masked(initial_states):
        raise ValueError("initial_states has masked entries; remove the rows that have them")
    starts = np.asarray(initial_states, np.float64)
    if starts.ndim == 3:
        raise ValueError(
            f"initial_states has shape {starts.shape}; expected [starts, n]: reshape trials with .reshape(-1, "
            f"{starts.shape[2]})"
        )
    if starts.ndim != 2 or 0 in starts.shape:
        raise ValueError(f"initial_states has shape {starts.shape}; expected [starts, n] with at least one of each")
    if not np.isfinite(starts).all():
        bad = int((~np.isfinite(starts)).any(axis=1).sum())
        raise ValueError(f"initial_states has NaN or infinity in {bad} of {len(starts)} rows; remove those")
    if not 0 < tol <= slow_tol:
        raise ValueError(f"tol is {tol:g} and slow_tol {slow_tol:g}; expected 0 < tol ≤ slow_tol")
    n = starts.shape[1]
    static = static_inputs(inputs)
    check_step(step, starts[0], static)
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
    static: Float[Array, " m"] | None,
    low: NDArray[np.float64],
    high: NDArray[np.float64],
) -> None:
    """Raise a ValueError if ``step`` leaves the box from the first starts or from random corners."""
    random = np.random.default_rng(0)
    corners = np.where(random.random((32, len(low))) < 0.5, low, high)
    inside = np.concatenate([np.clip(starts[:32], low, high), corners[np.isfinite(corners).all(axis=1)]])
    images = flow_ends(step, inside, static, 1)
    excess = np.maximum(low - images, images - high) / np.maximum(1, np.minimum(high - low, 1e300))
    if np.nanmax(excess, initial=-np.inf) > 1e-6:
        raise ValueError(
            f"box is not invariant: step leaves it by {np.nanmax(excess):.3g} of its width; expected a box that "
            "step maps into itself, or None"
        )


def _fixed_points(found: Found, n: int) -> FixedPoints:
    """Collect the points found, in an order that does not depend on the order of the starts."""
    # Rounding keeps the last digits, which depend on the path to a point, from swapping two points.
    ordered = sorted(
        found.points,
        key=lambda point: (point.is_slow, point.n_unstable, tuple(np.round(point.state / found.spread, 4))),
    )
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
        certificate=found.verdict.certificate,
        rejected=found.rejected,
        n_starts=found.n_starts,
        reason=found.verdict.reason,
        cut=found.cut,
    )
