"""Tables of one network's analysis: searches, fixed points, attractors."""

import json
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dynatlas._util.messages import count_of
from dynatlas.dynamics.intervals.uniqueness import uniqueness
from dynatlas.dynamics.linearization import linearize
from dynatlas.dynamics.points import FixedPoints
from dynatlas.dynamics.tables import point_columns, search_columns
from dynatlas.networks.analysis.attractors import ReachedAttractor, attractor_summary
from dynatlas.networks.network import Network

CHUNK = 16  # points whose Jacobians and eigenvectors are in memory at a time


def search_row(
    network: Network,
    condition: int,
    inputs: NDArray[np.float64],
    points: FixedPoints,
    reached: Sequence[ReachedAttractor],
) -> pd.DataFrame:
    """Return the row of the search of one condition. The summary says what was assumed of the network."""
    roots = points.roots()
    slow = f", {count_of(int(points.is_slow.sum()), 'slow point')}" if points.is_slow.any() else ""
    composition = f" ({by_unstable(roots)})" if len(roots) else ""
    assumed = ", ".join(network.assumed)
    table = pd.DataFrame([{"condition": condition, "inputs": json.dumps(inputs.tolist())} | search_columns(points)])
    table.insert(list(table).index("n_slow"), "by_unstable", by_unstable(roots))
    return table.assign(
        assumed=assumed,
        summary=f"{count_of(len(roots), 'root')}{composition}{slow}, index sum {points.index_sum}, "
        f"{points.certificate}; {attractor_summary(reached)}{assumed and f'; assumed: {assumed}'}",
    )


def by_unstable(roots: FixedPoints) -> str:
    """Return the numbers of roots with 0, 1, 2, … unstable directions: "8 + 12 + 6 + 1"; "0" without roots."""
    return " + ".join(map(str, np.bincount(roots.n_unstable).tolist())) or "0"


def point_rows(network: Network, condition: int, inputs: NDArray[np.float64], points: FixedPoints) -> pd.DataFrame:
    """Return the points of one condition and the linear dynamics around each."""
    chunks = [
        _point_rows(network, condition, inputs, points, np.arange(first, min(first + CHUNK, len(points))))
        for first in range(0, max(len(points), 1), CHUNK)
    ]
    return pd.concat(chunks, ignore_index=True)


def _point_rows(
    network: Network, condition: int, inputs: NDArray[np.float64], points: FixedPoints, rows: NDArray[np.int64]
) -> pd.DataFrame:
    some = points.take(rows)
    states = some.states.reshape(len(rows), network.n_states)
    around = linearize(network.step, states, inputs)
    try:
        radius, error = uniqueness(network.step, states, inputs)
    except ValueError:  # the step uses an operation without interval bounds
        radius, error = np.zeros(len(rows)), np.full(len(rows), np.inf)
    table = pd.DataFrame({"condition": condition, "point": rows} | point_columns(some, around, radius, error))
    table.insert(list(table).index("time_constant"), "frequency", np.abs(around.frequencies[:, 0]))
    outputs = network.read_out(states)
    return table.assign(**{f"output_{number}": outputs[:, number] for number in range(outputs.shape[1])})


def attractor_rows(network: Network, condition: int, reached: Sequence[ReachedAttractor]) -> pd.DataFrame:
    """Return the attractors that the runs of one condition reached, with the range of each output."""
    rows = []
    for attractor, n_runs, nearest, distance in reached:
        outputs = network.read_out(attractor.states)
        spans = {
            f"output_{number}_{end}": float(extreme(outputs[:, number]))
            for number in range(outputs.shape[1])
            for end, extreme in (("low", np.min), ("high", np.max))
        }
        exponents = np.append(attractor.exponents, np.full(2, np.nan))
        rows.append(
            {
                "condition": condition,
                "kind": attractor.kind,
                "n_runs": n_runs,
                "period": attractor.period,
                "rotation_number": attractor.rotation_number,
                "amplitude": attractor.amplitude,
                "exponent_1": exponents[0],
                "exponent_2": exponents[1],
                "nearest_point": nearest,
                "distance": distance,
                **spans,
            }
        )
    return pd.DataFrame(rows)
