"""Continuation of fixed points along a parameter."""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray
from numpy.typing import NDArray

from dynatlas._util.arrays import ArrayLike, generator
from dynatlas._util.messages import count_of
from dynatlas.dynamics.continuation.branches import Bifurcation, Branches, bifurcations_of, branch_of
from dynatlas.dynamics.continuation.corrector import correct, evaluate
from dynatlas.dynamics.continuation.curve import Curve, ParametrizedStep, null_vectors
from dynatlas.dynamics.continuation.index_sums import IndexSums, crossings_at, explained, index_sums
from dynatlas.dynamics.continuation.limits import Bounds, Limits
from dynatlas.dynamics.continuation.strands import Strand
from dynatlas.dynamics.continuation.switching import Tree
from dynatlas.dynamics.continuation.tracing import SAME, Seed
from dynatlas.dynamics.fixed_points import find_fixed_points
from dynatlas.dynamics.points import FixedPoints
from dynatlas.dynamics.step import check_step, refuse_others

# With G_x closer to singular, relative to its largest singular value, a point is no regular point of one curve.
SINGULAR = 1e-9
# With a smaller component along the parameter, the tangent is that of a fold.
FLAT = 1e-6
# Without a box, states are at least this large in each dimension.
LEAST_SIZE = 0.1
SEARCHES = 8  # for missing branches
SEARCH_STARTS = 256
MAX_POINTS = 50  # of a branch, in multiples of n_values


class _AtParameter(eqx.Module):
    """The step at a parameter, as a step with inputs [1]."""

    step: ParametrizedStep

    def __call__(self, state: Array, inputs: Array) -> Array:
        return jnp.asarray(self.step(state, inputs[0]))


def continue_fixed_points(
    step: ParametrizedStep,
    points: FixedPoints | ArrayLike,
    start: float,
    stop: float,
    *,
    box: Bounds | Callable[[float], Bounds] | None = None,
    n_values: int = 100,
    tol: float = 1e-20,
    max_points: int | None = None,
    search_at: Sequence[float] | None = None,
    key: PRNGKeyArray | None = None,
) -> Branches:
    """Follow fixed points along a parameter, through folds, and locate their bifurcations.

    Pseudo-arclength continuation: a step along the tangent of the curve F(h, p) = h, then Newton's method on the plane
    across it. Steps adapt to the curve. Between any two points the signs of det [G_x; tᵀ], of the tangent's parameter
    and of det(J + I), and the number of unstable eigenvalues show branch points, folds, flips (period doublings) and
    Neimark–Sacker bifurcations. Each is located by Newton's method on the equations that define it. New branches at
    pitchforks and transcritical points are followed, both ways. All computations use float64.

    Args:
        step: ``step(state [n], parameter) -> state [n]``, JAX-traceable, with a scalar parameter: an input's strength,
            a factor of weights, the way from one network to another. A callable pytree is compiled once per shape; a
            plain closure once per object.
        points: fixed points at ``start``: their roots are followed. Or states [p, n].
        start: the parameter at which the points are fixed points.
        stop: the parameter's other end; it may be less than ``start``.
        box: (low, high), scalars or [n], or a function of the parameter that returns them: a region that ``step`` maps
            into itself. Only with a box can the index sums show that a branch is missing.
        n_values: the largest step is 1/n_values of the interval, and index sums are taken at n_values + 1 values.
        tol: largest q of the given points.
        max_points: budget of points of each branch; by default 50 n_values.
        search_at: values of the parameter at which all roots are searched for, to find branches that do not pass
            ``start``: closed ones, and those that begin at a fold. Needs a key; with one, by default at ``stop``.
        key: random key of the searches. With it, and with a box, missing branches are also searched for where the index
            sum is not 1.

    Raises:
        ValueError: shapes do not fit, an argument is out of range, or a point is no fixed point at ``start``.

    Example:
        The pitchfork of h ↦ tanh(a h) at a = 1.

        >>> import jax.numpy as jnp
        >>> branches = continue_fixed_points(lambda h, a: jnp.tanh(a * h), [[0.0]], 0.5, 2.0, box=(-1, 1))
        >>> [(each.kind, round(each.parameter, 9), each.branches) for each in branches.bifurcations]
        [('pitchfork', 1.0, (0, 1, 2))]
        >>> branches.at(2.0).states.round(4).ravel().tolist(), bool(branches.index_sums.is_wrong.any())
        ([0.0, -0.9575, 0.9575], False)

    Source: Keller 1977 for the continuation; Govaerts 2000 for the location of bifurcations; the Lefschetz–Hopf theorem
    for the index sums. AUTO, MatCont, BifurcationKit and PyCont-Lite do this for flows; here the map has flips and
    Neimark–Sacker bifurcations, and the index sum shows lost branches.
    """
    with jax.enable_x64(True):
        states, limits_of = _checked(step, points, start, stop, box, n_values, tol, search_at, key is not None)
        length = _length(states, limits_of, start)
        curve = Curve(step, jnp.asarray(float(start)), jnp.asarray(float(stop) - float(start)), jnp.asarray(length))
        limits = Limits(box, length / n_values, max_points or MAX_POINTS * n_values)
        tree = Tree(curve, limits)
        seeds, followed = _seeds(curve, states, start, tol, tree.notes)
        tree.grow(seeds)
        of_points = np.full(len(states), -1)
        grid = np.linspace(0, length, n_values + 1)
        if key is not None:
            random = generator(key)
            for number, parameter in enumerate([stop] if search_at is None else search_at):
                _add_roots_at(tree, curve.place(parameter), random, jax.random.fold_in(key, number))
            if box is not None:
                _search_missing(tree, grid, random, key)
        of_points[followed] = tree.origin
        return _branches(tree, _sums(tree, grid), of_points, (float(start), float(stop)))


def _checked(
    step: ParametrizedStep,
    points: FixedPoints | ArrayLike,
    start: float,
    stop: float,
    box: Bounds | Callable[[float], Bounds] | None,
    n_values: int,
    tol: float,
    search_at: Sequence[float] | None,
    has_key: bool,
) -> tuple[NDArray[np.float64], Limits]:
    """Return the states to follow, or raise a ValueError that says what is wrong."""
    states = np.asarray(points.roots().states if isinstance(points, FixedPoints) else points, np.float64)
    if states.ndim != 2 or 0 in states.shape:
        hint = ": there is no root among the points" if isinstance(points, FixedPoints) else ""
        raise ValueError(f"points has shape {states.shape}; expected [p, n] with at least one of each{hint}")
    if not np.isfinite(states).all():
        raise ValueError("points has NaN or infinity; expected fixed points")
    if not (np.isfinite(start) and np.isfinite(stop) and start != stop):
        raise ValueError(f"start is {start:g} and stop {stop:g}; expected two different numbers")
    if n_values < 2:
        raise ValueError(f"n_values is {n_values}; expected at least 2")
    if search_at and not has_key:
        raise ValueError(f"search_at has {count_of(len(search_at), 'value')}, but key is None; pass a random key")
    low, high = sorted((start, stop))
    if not all(low <= parameter <= high for parameter in search_at or ()):
        raise ValueError(f"search_at has {list(search_at or ())}; expected values from {low:g} to {high:g}")
    if not tol > 0:
        raise ValueError(f"tol is {tol:g}; expected a positive number")
    check_step(_AtParameter(step), states[0], jnp.asarray([float(start)]))
    limits = Limits(box, 0.0, 0)
    for parameter in (start, stop):
        bounds = limits.bounds(parameter, states.shape[1])
        if bounds is not None and not (bounds[0] < bounds[1]).all():
            raise ValueError(f"box has low ≥ high at the parameter {parameter:g}; expected (low, high)")
    return states, limits


def _length(states: NDArray[np.float64], limits: Limits, start: float) -> float:
    """Return the size of typical states, which weighs the parameter in the arc length."""
    n = states.shape[1]
    bounds = limits.bounds(start, n)
    if bounds is not None and np.isfinite(bounds[1] - bounds[0]).all():
        return float(np.linalg.norm(bounds[1] - bounds[0]) / 2)
    return float(max(np.linalg.norm(states, axis=1).max(), LEAST_SIZE * np.sqrt(n)))


def _seeds(
    curve: Curve, states: NDArray[np.float64], start: float, tol: float, notes: list[str]
) -> tuple[list[Seed], list[int]]:
    """Return where branches begin, and the numbers of the given points that these are."""
    count, n = states.shape
    guesses = np.append(states, np.zeros((count, 1)), axis=1)
    border = np.zeros((count, n + 1))
    border[:, -1] = 1
    into = border[0]
    given = [evaluate(curve, guess, into) for guess in guesses]
    q = 0.5 * np.array([np.nan if point is None else point.residual for point in given]) ** 2
    refuse_others(q, np.full(count, tol), f"at the parameter {start:g}", "Search there")
    found = correct(curve, guesses, border, np.zeros(count))
    seeds, followed = [], []
    for number, guess in enumerate(given):
        point = guess
        if found.converged[number] and np.linalg.norm(found.points[number] - guesses[number]) < SAME * curve.length:
            point = evaluate(curve, np.append(found.points[number, :-1], 0.0), into)
        if point is None:
            continue
        if null_vectors(point.matrix)[2] < SINGULAR:
            notes.append(
                f"point {number} is not followed: at {start:g} it is a branch point or one of a continuum of roots"
            )
        elif point.slope < FLAT:
            notes.append(f"point {number} is not followed: at {start:g} it is at a fold; start elsewhere")
        else:
            seeds.append(Seed(point, "start"))
            followed.append(number)
    return seeds, followed


def _sums(tree: Tree, grid: NDArray[np.float64]) -> IndexSums:
    return index_sums(tree.strands, np.asarray(tree.curve.parameter(grid)), grid, tree.length)


def _search_missing(tree: Tree, grid: NDArray[np.float64], random: np.random.Generator, key: PRNGKeyArray) -> None:
    """Search for roots where the index sum is not 1, and follow their branches."""
    searched: set[int] = set()
    for _ in range(SEARCHES):
        wrong = [int(value) for value in np.flatnonzero(_sums(tree, grid).is_wrong) if int(value) not in searched]
        if not wrong:
            break
        value = wrong[len(wrong) // 2]
        searched.add(value)
        _add_roots_at(tree, float(grid[value]), random, jax.random.fold_in(key, len(grid) + value))


def _add_roots_at(tree: Tree, place: float, random: np.random.Generator, key: PRNGKeyArray) -> None:
    """Search for all roots at a parameter, from the branches and from random states, and follow the unknown ones."""
    if not tree.strands:
        return
    place = float(np.clip(place, SAME * tree.length, (1 - SAME) * tree.length))
    parameter = float(tree.curve.parameter(place))
    states = np.concatenate([[point.x[:-1] for point in strand.points] for strand in tree.strands])
    n = states.shape[1]
    bounds = tree.limits.bounds(parameter, n)
    if bounds is None:
        # Without a box: around the states on the branches, as far as they spread.
        rows = states[random.integers(len(states), size=SEARCH_STARTS)]
        starts = rows + random.normal(size=rows.shape) * max(float(states.std()), LEAST_SIZE)
    else:
        low, high = (np.clip(bound, -tree.length, tree.length) for bound in bounds)
        starts = random.uniform(low, high, (SEARCH_STARTS, n))
    known = np.array([crossing.guess[:-1] for crossing in crossings_at(tree.strands, place)]).reshape(-1, n)
    starts = np.concatenate([known, starts])
    found = find_fixed_points(_AtParameter(tree.curve.step), starts, [parameter], box=bounds, max_regions=0, key=key)
    for state in found.roots().states:
        point = evaluate(tree.curve, np.append(state, place), np.eye(n + 1)[-1])
        if point is not None and not _is_known(tree, state, place):
            tree.add_root(point)


def _is_known(tree: Tree, state: NDArray[np.float64], place: float) -> bool:
    """Whether a root lies on a branch."""
    crossings = crossings_at(tree.strands, place)
    if not crossings:
        return False
    guesses = np.stack([crossing.guess for crossing in crossings])
    borders = np.zeros_like(guesses)
    borders[:, -1] = 1
    found = correct(tree.curve, guesses, borders, np.full(len(guesses), place))
    near = np.linalg.norm(found.points[:, :-1] - state, axis=1) < 10 * SAME * tree.length
    return bool((near & found.converged).any())


def _branches(tree: Tree, sums: IndexSums, of_points: NDArray[np.int64], interval: tuple[float, float]) -> Branches:
    curve, strands = tree.curve, tree.strands
    ends = [(float(curve.parameter(each.begin.x[-1])), float(curve.parameter(each.end.x[-1]))) for each in strands]
    has_box = tree.limits.box is not None
    bifurcations = bifurcations_of(curve, strands)
    if has_box:
        sums = explained(sums, strands, ends)
    notes = [*tree.notes, *_special_notes(curve, strands, ends, bifurcations), *sums.notes]
    return Branches(
        branches=tuple(branch_of(curve, strand) for strand in strands),
        bifurcations=bifurcations,
        of_points=of_points,
        index_sums=sums,
        has_box=has_box,
        start=interval[0],
        stop=interval[1],
        length=tree.length,
        notes=tuple(notes),
        curve=curve,
        strands=tuple(strands),
    )


def _special_notes(
    curve: Curve, strands: list[Strand], ends: list[tuple[float, float]], bifurcations: tuple[Bifurcation, ...]
) -> list[str]:
    """Return what is special about the branches, in words."""
    notes = []
    if strands and all(_is_unchanged(strand) for strand in strands):
        notes.append("the parameter changes neither the fixed points nor the dynamics around them")
    for number, (strand, (_, end)) in enumerate(zip(strands, ends, strict=True)):
        if not strand.end.is_known and strand.end.reason != "closed on itself":
            notes.append(f"branch {number} ends at {end:.6g}: {strand.end.reason}")
        if strand.n_kinks:
            notes.append(f"branch {number} is followed in pieces, across {count_of(strand.n_kinks, 'kink')}")
    for each in bifurcations:
        if each.kind in {"degenerate", "unresolved"}:
            lost = ", from which no branches are followed" if each.kind == "degenerate" else ""
            notes.append(f"{each.kind} point at {each.parameter:.6g}, {each.note}{lost}")
    return notes


def _is_unchanged(strand: Strand) -> bool:
    """Whether G_x is the same along a whole branch, and 0 along the parameter."""
    first = strand.points[0].matrix
    return not first[:, -1].any() and all(np.array_equal(point.matrix, first) for point in strand.points)
