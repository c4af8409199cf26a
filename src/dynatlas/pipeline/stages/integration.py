"""Line attractors of integrating networks: shape, input selection, and the modes that integrate."""

from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from dynatlas._util.json import Json
from dynatlas.atlas.atlas import Atlas
from dynatlas.atlas.networks import stored_arrays
from dynatlas.cells.cell import Cell
from dynatlas.cells.responses import linear_readout
from dynatlas.dynamics.linearization import Linearization, integrated_response, linearize, modes_needed
from dynatlas.dynamics.slow_manifolds import SlowManifold, slow_manifold
from dynatlas.study.members import Configuration, Member
from dynatlas.study.study import Study
from dynatlas.tasks.task import Task

# The manifold is sampled between these quantiles of the output on the probe, without the extremes.
REACH = (0.02, 0.98)


class Integration(NamedTuple):
    """Result for one network in one context."""

    row: Json  # of the table line_attractors
    manifold: SlowManifold
    modulus: NDArray[np.float64]  # [mode], means over the manifold
    real: NDArray[np.float64]
    response: NDArray[np.float64]


def integration(
    study: Study, task: Task, member: Member, cell: Cell, visited: NDArray[np.float64]
) -> list[Integration]:
    """Compute the slow manifold of each context, and the linear dynamics along it."""
    return [
        _in_context(study, task, member, cell, visited[task.probe_conditions() == context], context)
        for context in range(task.n_conditions)
    ]


def _in_context(
    study: Study,
    task: Task,
    member: Member,
    cell: Cell,
    visited: NDArray[np.float64],
    context: int,
) -> Integration:
    inputs = np.asarray(task.conditions()[context], np.float64)
    every_weight, every_bias = linear_readout(cell)
    weights, bias = every_weight[0], float(every_bias[0])
    states = visited.reshape(-1, visited.shape[-1])
    low, high = np.quantile(states @ weights + bias, REACH)
    outputs = np.linspace(low, high, study.analysis.manifold_points)
    manifold = slow_manifold(cell, weights, bias, outputs, states, inputs)
    around = linearize(cell, manifold.states, inputs)
    trusted = ~around.is_ill_conditioned

    def response(stream: int, steps: int) -> NDArray[np.float64]:
        return _mean(integrated_response(around, weights, np.eye(task.n_inputs)[stream], steps)[trusted])

    relevant = task.integrated_inputs()[context]
    others = [stream for stream in dict.fromkeys(task.integrated_inputs()) if stream != relevant]
    selection = _mean(around.selection()[trusted])
    halfway = response(relevant, task.steps // 2)
    row = {
        "network": member.id,
        "condition": context,
        "condition_name": task.condition_names()[context],
        "low": float(low),
        "high": float(high),
        "q_max": float(manifold.q.max()),
        "line_share": manifold.line_share,
        "drift_share": manifold.drift_share,
        "spectral_radius": float(np.abs(around.eigenvalues[:, 0]).mean()),
        "selection_relevant": float(selection[relevant]),
        "selection_irrelevant": float(np.mean(selection[others])) if others else np.nan,
        "response": float(halfway[-1]),
        "response_first": float(response(relevant, 1)[-1]),
        "response_last": float(response(relevant, task.steps - 1)[-1]),
        "irrelevant_response": (
            float(np.mean([response(stream, task.steps // 2)[-1] for stream in others])) if others else np.nan
        ),
        "modes_needed": int(modes_needed(halfway[None])[0]),
        "n_ill_conditioned": int((~trusted).sum()),
    }
    return Integration(row, manifold, *_mean_spectrum(around), halfway)


def _mean(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    return rows.mean(axis=0) if len(rows) else np.full(rows.shape[1], np.nan)


def _mean_spectrum(around: Linearization) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Average |λ| and Re λ of each rank over the points."""
    return np.abs(around.eigenvalues).mean(axis=0), around.eigenvalues.real.mean(axis=0)


def integration_arrays(lines: list[Integration]) -> xr.Dataset:
    """Return the manifolds of a block, one row per network and context."""
    return xr.Dataset(
        {
            "states": (("row", "point", "state"), np.array([line.manifold.states for line in lines])),
            "outputs": (("row", "point"), np.array([line.manifold.values for line in lines])),
            "modulus": (("row", "mode"), np.array([line.modulus for line in lines])),
            "real": (("row", "mode"), np.array([line.real for line in lines])),
            "response": (("row", "mode"), np.array([line.response for line in lines])),
            "network": (("row",), np.array([line.row["network"] for line in lines])),
            "condition": (("row",), np.array([line.row["condition"] for line in lines])),
        }
    )


def mean_spectra(atlas: Atlas, networks: pd.DataFrame) -> pd.DataFrame:
    """Average the spectra along the manifolds over contexts and over the networks of each configuration."""
    parts = []
    for _, arrays in stored_arrays(atlas, "line_attractors"):
        modulus, real = np.asarray(arrays["modulus"]), np.asarray(arrays["real"])
        rows, modes = modulus.shape
        parts.append(
            pd.DataFrame(
                {
                    "network": np.repeat(arrays.network.values, modes),
                    "rank": np.tile(np.arange(modes), rows),
                    "modulus": modulus.ravel(),
                    "real": real.ravel(),
                }
            )
            .groupby(["network", "rank"], as_index=False)
            .mean()
        )
    configuration = Configuration._fields
    if not parts:
        means = ["modulus", "modulus_se", "real", "real_se", "n_networks"]
        return pd.DataFrame(columns=[*configuration, "rank", *means])
    joined = pd.concat(parts).merge(networks[["network", *configuration]], on="network")
    return joined.groupby([*configuration, "rank"], as_index=False).agg(
        modulus=("modulus", "mean"),
        modulus_se=("modulus", "sem"),
        real=("real", "mean"),
        real_se=("real", "sem"),
        n_networks=("network", "size"),
    )
