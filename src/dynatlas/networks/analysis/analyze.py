"""What one network computes: fixed points with their certificate, the linear dynamics around them, attractors."""

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import pandas as pd
from jaxtyping import PRNGKeyArray
from numpy.typing import NDArray

from dynatlas._util.arrays import generator
from dynatlas._util.display import Summary, SummaryRepr
from dynatlas.dynamics.attractors import Attractor
from dynatlas.dynamics.fixed_points import FixedPoints, find_fixed_points
from dynatlas.networks.analysis.attractors import reached_attractors
from dynatlas.networks.analysis.starts import Visited, starts_around, visited_states
from dynatlas.networks.analysis.tables import attractor_rows, point_rows, search_row
from dynatlas.networks.network import Network

STARTS = 1024  # of all conditions together


FEWEST_STARTS = 64


# The budget of a search of a network with 64 numbers in its state. The work for one start grows with their cube.
MOST_STARTS, MOST_STARTS_FOR = 16_384, 64


@dataclass(frozen=True, eq=False, repr=False)
class Analysis(SummaryRepr):
    """What was found of one network.

    Attributes:
        network: the network.
        conditions: the static inputs [conditions, m].
        visited: the states from which the searches started, and which those are.
        fixed_points: of each condition.
        attractors: of each condition, those that its runs reached.
        tables: "searches" (a row per condition), "fixed_points" (a row per point) and "attractors" (a row per
            attractor).
        warnings: what a reader must know, a sentence each.
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
    conditions: Any | None = None,
    trials: Any | None = None,
    activity: Any | None = None,
    starts: int = STARTS,
    max_starts: int | None = None,
    key: PRNGKeyArray,
) -> Analysis:
    """Find what a network computes when its input stands still.

    Under each condition: the fixed points and slow points with their certificate (``find_fixed_points``), the
    linear dynamics around each (``linearize``), the proof that each is alone (``uniqueness``), and the attractors that
    16 runs reach (``find_attractors``).

    Args:
        network: a network, from ``read_network`` or of your own.
        conditions: static inputs [conditions, m]; by default no input, 0.
        trials: inputs [trials, steps, m] on which the network visits the states that searches start from.
        activity: these states themselves, [trials, steps, n] or [samples, n].
        starts: starts of the searches, shared by the conditions; each has at least 64.
        max_starts: budget of starts of each search, those that it adds included; by default 16,384 up to 64 numbers
            in the state, and fewer with their cube beyond: 2,048 for 128, 256 for 256.
        key: the random key.

    Raises:
        ValueError: shapes that do not fit the network.

    Example:
        Two bistable units:

        >>> import jax.numpy as jnp
        >>> switches = Network(lambda h, x: jnp.tanh(2 * h + x), n_states=2, n_inputs=2, bounds=lambda x: (-1, 1))
        >>> analyze(switches, key=jax.random.key(0))
        condition 0: 9 roots (4 + 4 + 1), index sum 1, complete; attractors that 16 runs reached: 4 fixed points
    """
    static = np.zeros((1, network.n_inputs)) if conditions is None else np.asarray(conditions, np.float64)
    if static.ndim != 2 or static.shape[1] != network.n_inputs or not len(static):
        raise ValueError(f"conditions has shape {static.shape}; expected [conditions, {network.n_inputs}]")
    if not np.isfinite(static).all():
        raise ValueError("conditions has NaN or infinity; expected numbers")
    key, visit_key, run_key = jax.random.split(key, 3)
    visited = visited_states(network, trials, activity, generator(visit_key))
    budget = max_starts or most_starts(network.n_states)
    count = min(max(starts // len(static), FEWEST_STARTS), budget)
    found, reached = [], []
    rows: dict[str, list[pd.DataFrame]] = {"searches": [], "fixed_points": [], "attractors": []}
    for condition, inputs in enumerate(static):
        points = _search(network, visited, inputs, count, budget, jax.random.fold_in(key, condition))
        attractors = reached_attractors(
            network, visited, inputs, points, generator(jax.random.fold_in(run_key, condition))
        )
        found.append(points)
        reached.append(tuple(one.attractor for one in attractors))
        rows["searches"].append(search_row(condition, inputs, points, attractors))
        rows["fixed_points"].append(point_rows(network, condition, inputs, points))
        rows["attractors"].append(attractor_rows(network, condition, attractors))
    tables = {name: pd.concat(parts, ignore_index=True) for name, parts in rows.items()}
    return Analysis(network, static, visited, tuple(found), tuple(reached), tables, _warnings(network, found))


def most_starts(n_states: int) -> int:
    """The budget of a search that takes about as long whatever the size of the state.

    Example:
        >>> most_starts(32), most_starts(128), most_starts(256)
        (16384, 2048, 256)
    """
    return max(FEWEST_STARTS, int(MOST_STARTS * min(1.0, (MOST_STARTS_FOR / n_states) ** 3)))


def _search(
    network: Network,
    visited: Visited,
    inputs: NDArray[np.float64],
    count: int,
    max_starts: int,
    key: PRNGKeyArray,
) -> FixedPoints:
    """The fixed points under one condition, those with few unstable directions first, each group by its readout."""
    start_key, search_key = jax.random.split(key)
    starts = starts_around(visited, count, generator(start_key))
    with jax.enable_x64(True):
        points = find_fixed_points(
            network.step, starts, inputs, box=network.box(inputs), max_starts=max_starts, key=search_key
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
    if any(points.certificate == "not certifiable" for points in found):
        warnings.append(
            "No box is known that this network maps into itself, so that no count of fixed points can be certified."
        )
    if any(points.certificate == "incomplete" for points in found):
        warnings.append("Where the certificate says incomplete, a root is missing, false or degenerate.")
    return tuple(warnings)
