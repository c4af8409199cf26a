"""Analyse one network: fixed points with their certificate, the linear dynamics around them, attractors."""

from dataclasses import dataclass

import jax
import numpy as np
import pandas as pd
from jaxtyping import PRNGKeyArray
from numpy.typing import ArrayLike, NDArray

from dynatlas._util.arrays import generator, key_or_default
from dynatlas._util.display import Summary, SummaryRepr
from dynatlas.dynamics.attractors import Attractor
from dynatlas.dynamics.fixed_points import MAX_SECONDS, find_fixed_points
from dynatlas.dynamics.multistart import Budget
from dynatlas.dynamics.piecewise_linear.sum_law import NO_BOX
from dynatlas.dynamics.points import FixedPoints
from dynatlas.networks.analysis.attractors import reached_attractors
from dynatlas.networks.analysis.starts import Visited, starts_around, starts_for, visited_states
from dynatlas.networks.analysis.tables import attractor_rows, point_rows, search_row
from dynatlas.networks.network import Network

FEWEST_STARTS = 64  # of each condition
MOST_STARTS = 16_384  # of each search
MOST_WARNINGS = 8  # the table has the reasons of all conditions


@dataclass(frozen=True, eq=False, repr=False)
class Analysis(SummaryRepr):
    """Result of the analysis of one network.

    Attributes:
        network: the network.
        conditions: the static inputs [conditions, m].
        visited: the states around which the searches started.
        fixed_points: for each condition.
        attractors: for each condition, those that its runs reached.
        tables: "searches" (a row per condition), "fixed_points" (a row per point) and "attractors" (a row per
            attractor).
        warnings: limitations of the result, one sentence each.
    """

    network: Network
    conditions: NDArray[np.float64]
    visited: Visited
    fixed_points: tuple[FixedPoints, ...]
    attractors: tuple[tuple[Attractor, ...], ...]
    tables: dict[str, pd.DataFrame]
    warnings: tuple[str, ...] = ()

    def __repr__(self) -> str:
        lines = [f"condition {row.condition}: {row.summary}" for row in self.tables["searches"].itertuples()]
        return "\n".join(lines)

    def _summary(self) -> Summary:
        rows = [(f"condition {row.condition}", str(row.summary)) for row in self.tables["searches"].itertuples()]
        rows += [("note", warning) for warning in self.warnings]
        return Summary(f"Analysis of a network with {self.network.n_states} states", tuple(rows))


def analyze(
    network: Network,
    *,
    conditions: ArrayLike | None = None,
    trials: ArrayLike | None = None,
    activity: ArrayLike | None = None,
    starts: int | None = None,
    max_starts: int | None = None,
    max_seconds: float | None = MAX_SECONDS,
    max_regions: int | None = None,
    key: PRNGKeyArray | None = None,
) -> Analysis:
    """Analyse the dynamics of a network under static inputs.

    For each condition: fixed points and slow points with their certificate (``find_fixed_points``), the linear dynamics
    around each (``linearize``), the proof that each is unique in its neighbourhood (``uniqueness``), and the attractors
    that 16 runs reach (``find_attractors``).

    Args:
        network: a network from ``read_network``, or ``Network(step=…)``.
        conditions: static inputs [conditions, m]; by default 0.
        trials: inputs [trials, steps, m]; searches start around the states that the network visits on them.
        activity: states [trials, steps, n] or [samples, n] around which searches start, instead of ``trials``.
        starts: number of given starts over all conditions, of which each has at least 64; by default 1,024 up to 128
            state dimensions, and beyond that inversely proportional to their number.
        max_starts: budget of starts of each search, including those that it adds; by default 16,384.
        max_seconds: budget of processor time of each search, or None.
        max_regions: budget of groups of linear regions of a relu network (``find_fixed_points``).
        key: the random key; by default that of the seed 0.

    Raises:
        ValueError: shapes that do not fit the network.

    Example:
        Two bistable units:

        >>> import jax.numpy as jnp
        >>> switches = Network(lambda h, x: jnp.tanh(2 * h + x), n_states=2, n_inputs=2, bounds=lambda x: (-1, 1))
        >>> analyze(switches)
        condition 0: 9 roots (4 + 4 + 1), index sum 1, complete; attractors that 16 runs reached: 4 fixed points
    """
    static = np.zeros((1, network.n_inputs)) if conditions is None else np.asarray(conditions, np.float64)
    if static.ndim != 2 or static.shape[1] != network.n_inputs or not len(static):
        raise ValueError(f"conditions has shape {static.shape}; expected [conditions, {network.n_inputs}]")
    if not np.isfinite(static).all():
        raise ValueError("conditions has NaN or infinity; expected numbers")
    key, visit_key, run_key = jax.random.split(key_or_default(key), 3)
    visited = visited_states(network, trials, activity, generator(visit_key))
    budget = Budget(max_starts or MOST_STARTS, max_seconds, max_regions)
    given = starts or starts_for(network.n_states)
    count = min(max(given // len(static), FEWEST_STARTS), budget.max_starts)
    found, reached = [], []
    rows: dict[str, list[pd.DataFrame]] = {"searches": [], "fixed_points": [], "attractors": []}
    for condition, inputs in enumerate(static):
        search_key = jax.random.fold_in(key, condition)
        points = _search(network, visited, inputs, count, budget, search_key)
        attractors = reached_attractors(
            network, visited, inputs, points, generator(jax.random.fold_in(run_key, condition))
        )
        found.append(points)
        reached.append(tuple(one.attractor for one in attractors))
        rows["searches"].append(search_row(network, condition, inputs, points, attractors))
        rows["fixed_points"].append(point_rows(network, condition, inputs, points))
        rows["attractors"].append(attractor_rows(network, condition, attractors))
    tables = {name: pd.concat(parts, ignore_index=True) for name, parts in rows.items()}
    return Analysis(network, static, visited, tuple(found), tuple(reached), tables, _warnings(network, found))


def _search(
    network: Network,
    visited: Visited,
    inputs: NDArray[np.float64],
    count: int,
    budget: Budget,
    key: PRNGKeyArray,
) -> FixedPoints:
    """Find the fixed points of one condition: roots first, then by number of unstable directions and readout."""
    start_key, search_key = jax.random.split(key)
    starts = starts_around(visited, count, generator(start_key))
    with jax.enable_x64(True):
        points = find_fixed_points(
            network.step,
            starts,
            inputs,
            box=network.box(inputs),
            max_starts=budget.max_starts,
            max_seconds=budget.max_seconds,
            max_regions=budget.max_regions,
            key=search_key,
        )
    outputs = network.read_out(points.states.reshape(len(points), network.n_states))
    if not outputs.shape[-1]:
        return points
    rounded = np.round(outputs, 3)
    return points.take(np.lexsort((*rounded.T[::-1], points.n_unstable, points.is_slow)))


def _warnings(network: Network, found: list[FixedPoints]) -> tuple[str, ...]:
    warnings = []
    if network.is_slow:
        warnings.append("Every step of this network leaves JAX, which is slow: fewer runs are followed to attractors.")
    without_law = [points.certificate == "not certifiable" and NO_BOX.reason in points.reason for points in found]
    if any(without_law):
        warnings.append(
            "No box that this network maps into itself is known: no count of fixed points can be certified."
        )
    for condition, points in enumerate(found):
        is_new = points.certificate != "complete" and not without_law[condition]
        if is_new and len(warnings) < MOST_WARNINGS:
            warnings.append(f"Condition {condition} is {points.certificate}: {points.reason}.")
    return tuple(warnings)
