"""Integrating networks: the line attractor of each context, and the linear dynamics around its fixed points.

The line is sampled by the states of least speed at even values of the output, which shows its shape. How the network
integrates is read from the linear dynamics around the fixed and slow points that the search found, each weighted by how
much of the activity on the probe is nearest to it: averages along the sampled line would be ruled by its ends.
"""

from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from dynatlas._util.arrays import weighted_median
from dynatlas._util.json import Json
from dynatlas.atlas.atlas import Atlas
from dynatlas.atlas.networks import stored_arrays
from dynatlas.atlas.schema import NEAR_ONE, SHOWN_CONTEXT
from dynatlas.cells.cell import Cell
from dynatlas.cells.responses import first_output, first_readout
from dynatlas.dynamics.linearization import integrated_response, linearize, modes_needed, shares_of_activity
from dynatlas.dynamics.points import FixedPoints
from dynatlas.dynamics.root_search import flow_ends
from dynatlas.dynamics.slow_manifolds import SlowManifold, extent, slow_manifold
from dynatlas.study.members import Member
from dynatlas.study.study import Study
from dynatlas.tasks.task import Task

# The manifold is sampled between these quantiles of the output on the probe, without the extremes.
REACH = (0.02, 0.98)
# States from which the network is run on without evidence.
HELD_STATES = 256

Floats = NDArray[np.float64]


class Integration(NamedTuple):
    """Result for one network in one context."""

    row: Json  # of the table line_attractors
    manifold: SlowManifold
    modulus: Floats  # [mode], means over the points
    real: Floats
    response: Floats
    response_median: Floats


class Around(NamedTuple):
    """Linear dynamics around p points, each with its share of the activity."""

    shares: Floats  # [p], with a sum of 1 if there are points
    trusted: NDArray[np.bool_]  # [p]: whether the eigenbasis is well-conditioned
    eigenvalues: NDArray[np.complex128]  # [p, mode]
    responses: dict[tuple[int, int], Floats]  # (input, steps) → [p, mode]
    selection: Floats  # [p, input]

    def mean(self, values: Floats, *, of_trusted: bool = True) -> Floats:
        """Average values [p, …] over the trusted points, by their shares."""
        weights = self.shares * self.trusted if of_trusted else self.shares
        if not weights.sum() > 0:
            return np.full(values.shape[1:], np.nan)
        return np.asarray(np.tensordot(weights[weights > 0], values[weights > 0], axes=1) / weights.sum())

    def median(self, values: Floats, *, of_trusted: bool = True) -> Floats:
        """Return the median of values [p, …] over the trusted points, by their shares."""
        return weighted_median(values, self.shares * self.trusted if of_trusted else self.shares)


def integration(
    study: Study, task: Task, member: Member, cell: Cell, visited: Floats, conditions: list[FixedPoints]
) -> list[Integration]:
    """Compute the slow manifold of each context, and the linear dynamics around its fixed and slow points.

    Args:
        study: settings of the analysis.
        task: the task, with integrated inputs.
        member: the network.
        cell: its weights, in float64.
        visited: states on the probe [trials, steps, state].
        conditions: fixed and slow points of each context.
    """
    return [
        _in_context(study, task, member, cell, visited[task.probe_conditions() == context], context, points)
        for context, points in enumerate(conditions)
    ]


def _in_context(
    study: Study,
    task: Task,
    member: Member,
    cell: Cell,
    visited: Floats,
    context: int,
    points: FixedPoints,
) -> Integration:
    inputs = np.asarray(task.conditions()[context], np.float64)
    states = visited.reshape(-1, visited.shape[-1])
    weights, bias = first_readout(cell, states)
    outputs = first_output(cell, states)
    low, high = np.quantile(outputs, REACH)
    samples = np.linspace(low, high, study.analysis.manifold_points)
    manifold = slow_manifold(cell, weights, bias, samples, states, inputs)
    if not cell.has_affine_readout:  # the samples are where the linearised outputs have these values
        manifold = replace(manifold, values=first_output(cell, manifold.states))
    around = _around(task, cell, _among(cell, points.states, outputs), states, inputs, context)
    row = {
        "network": member.id,
        "condition": context,
        "condition_name": task.condition_names()[context],
        "low": float(low),
        "high": float(high),
        **_shape_columns(manifold, _held(cell, manifold, states, inputs, task.steps)),
        **_linear_columns(task, around, context),
    }
    half = around.responses[task.integrated_inputs()[context], task.steps // 2]
    modulus = around.mean(np.abs(around.eigenvalues), of_trusted=False)
    real = around.mean(around.eigenvalues.real, of_trusted=False)
    return Integration(row, manifold, modulus, real, around.mean(half), around.median(half))


def _among(cell: Cell, points: Floats, outputs: Floats) -> Floats:
    """Return the points whose output the network reaches on the probe; all of them if its output never changes."""
    low, high = outputs.min(), outputs.max()
    readouts = first_output(cell, points)
    return points[(low == high) | ((readouts >= low) & (readouts <= high))]


def _around(task: Task, cell: Cell, points: Floats, visited: Floats, inputs: Floats, context: int) -> Around:
    """Linearise around the points that some visited state is nearest to."""
    shares = shares_of_activity(points, visited)
    points, shares = points[shares > 0], shares[shares > 0]
    points = points.reshape(len(points), visited.shape[-1])
    around = linearize(cell, points, inputs)
    weights, _ = first_readout(cell, points)
    relevant = task.integrated_inputs()[context]
    wanted = {(relevant, steps) for steps in (1, task.steps // 2, task.steps - 1)}
    wanted |= {(stream, task.steps // 2) for stream in task.integrated_inputs()}
    responses = {
        (stream, steps): integrated_response(around, weights, np.eye(task.n_inputs)[stream], steps)
        for stream, steps in wanted
    }
    return Around(shares, ~around.is_ill_conditioned, around.eigenvalues, responses, around.selection())


def _held(cell: Cell, manifold: SlowManifold, visited: Floats, inputs: Floats, steps: int) -> dict[str, float]:
    """Run the network on for ``steps`` without evidence, from states of the probe: what is left of their differences.

    That a chain of states lies straight is no evidence of a line attractor: it is sampled at chosen outputs, and that
    of an untrained network is the straighter one. Here the network shows whether it holds values apart.
    """
    before = visited[np.linspace(0, len(visited) - 1, min(HELD_STATES, len(visited))).astype(int)]
    with jax.enable_x64(True):
        after = flow_ends(cell.under(jnp.asarray(inputs)), before, jnp.zeros(0), steps)
    whole = extent(first_output(cell, before, with_bias=False))
    return {
        "held_range": extent(first_output(cell, after, with_bias=False)) / whole if whole > 0 else np.nan,
        "length_to_width": manifold.length_to_width(after),
    }


def _shape_columns(manifold: SlowManifold, held: dict[str, float]) -> Json:
    return {
        "q_max": float(manifold.q.max()),
        "line_share": manifold.line_share,
        "drift_share": manifold.drift_share,
        "speed_share": manifold.speed_share,
        **held,
    }


def _linear_columns(task: Task, around: Around, context: int) -> Json:
    relevant, half = task.integrated_inputs()[context], task.steps // 2
    others = [stream for stream in dict.fromkeys(task.integrated_inputs()) if stream != relevant]
    whole = {key: values[:, -1] for key, values in around.responses.items()}
    modulus = np.abs(around.eigenvalues)
    selection = around.mean(around.selection)
    needed = around.median(modes_needed(around.responses[relevant, half]).astype(float))
    return {
        "n_points": len(around.shares),
        "n_ill_conditioned": int((~around.trusted).sum()),
        "trusted_share": float(around.shares[around.trusted].sum()),
        "spectral_radius": float(around.mean(modulus[:, 0], of_trusted=False)),
        "modes_near_one": float(around.median((modulus > NEAR_ONE).sum(axis=1).astype(float), of_trusted=False)),
        "selection_relevant": float(selection[relevant]),
        "selection_irrelevant": float(np.mean(selection[others])) if others else np.nan,
        "response": float(around.mean(whole[relevant, half])),
        "response_median": float(around.median(whole[relevant, half])),
        "response_first": float(around.median(whole[relevant, 1])),
        "response_last": float(around.median(whole[relevant, task.steps - 1])),
        "irrelevant_response": (
            float(np.mean([around.median(whole[stream, half]) for stream in others])) if others else np.nan
        ),
        "modes_needed": int(needed) if np.isfinite(needed) else -1,
    }


def integration_arrays(lines: list[Integration]) -> xr.Dataset:
    """Return the manifolds and the linear dynamics of a block, one row per network and context."""
    return xr.Dataset(
        {
            "states": (("row", "point", "state"), np.array([line.manifold.states for line in lines])),
            "outputs": (("row", "point"), np.array([line.manifold.values for line in lines])),
            "modulus": (("row", "mode"), np.array([line.modulus for line in lines])),
            "real": (("row", "mode"), np.array([line.real for line in lines])),
            "response": (("row", "mode"), np.array([line.response for line in lines])),
            "response_median": (("row", "mode"), np.array([line.response_median for line in lines])),
            "network": (("row",), np.array([line.row["network"] for line in lines])),
            "condition": (("row",), np.array([line.row["condition"] for line in lines])),
        }
    )


def mean_spectra(atlas: Atlas, networks: pd.DataFrame) -> pd.DataFrame:
    """Average the spectra of the first context over the networks of each configuration."""
    parts = []
    for _, arrays in stored_arrays(atlas, "line_attractors"):
        shown = arrays.isel(row=np.flatnonzero(arrays["condition"].values == SHOWN_CONTEXT))
        rows, modes = shown["modulus"].shape
        spectra = {
            "network": np.repeat(shown.network.values, modes),
            "rank": np.tile(np.arange(modes), rows),
            "modulus": np.asarray(shown["modulus"]).ravel(),
            "real": np.asarray(shown["real"]).ravel(),
        }
        # A network without a point in its range has no spectrum.
        parts.append(pd.DataFrame(spectra).dropna())
    configuration = ["task", *atlas.study.levels]
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
