"""Probe trials and fixed points in three principal components, for the figures and the page."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from dynatlas._util.selection import even_selection
from dynatlas.cells.cell import Cell
from dynatlas.cells.responses import responses
from dynatlas.dynamics.linearization import linearize, unstable_direction
from dynatlas.dynamics.points import FixedPoints
from dynatlas.tasks.task import Task

# Probe trials in the trajectory pictures: enough to show the structure, few enough to see through.
DRAWN_TRIALS = 24
# Stored for every network, not only for representatives: at most 29 kB, 155 MB (before compression) for the
# 8,640 networks of the paper.
KEPT_TRIALS, KEPT_STEPS = 16, 150


def trajectories(task: Task, cell: Cell, points: list[FixedPoints]) -> xr.Dataset:
    """Project one network's probe trials and fixed points onto its first three principal components."""
    probe = task.probe()
    with jax.enable_x64(True):
        all_states, all_outputs = responses(cell, jnp.asarray(np.asarray(probe.inputs, np.float64)))
    hidden = np.asarray(all_states)[..., : cell.units]
    flat = hidden.reshape(-1, cell.units)
    mean = flat.mean(axis=0)
    _, scale, axes = np.linalg.svd(flat - mean, full_matrices=False)
    axes = axes[:3] * np.sign(axes[:3].sum(axis=1, keepdims=True))
    if len(axes) < 3:
        axes = np.vstack([axes, np.zeros((3 - len(axes), cell.units))])
    share = np.zeros(3)
    share[: min(3, len(scale))] = (scale**2 / max((scale**2).sum(), 1e-300))[:3]

    drawn = even_selection(range(len(hidden)), DRAWN_TRIALS)
    conditions = np.asarray(task.conditions(), np.float64)
    directions = [
        unstable_direction(linearize(cell, found.states, conditions[condition]))[:, : cell.units] @ axes.T
        for condition, found in enumerate(points)
        if len(found)
    ]
    states = np.concatenate([found.states[:, : cell.units].reshape(-1, cell.units) for found in points])
    return xr.Dataset(
        {
            "trajectory": (("trial", "step", "component"), ((hidden[drawn] - mean) @ axes.T).astype(np.float32)),
            "variance_share": (("component",), share),
            "inputs": (("trial", "step", "input"), np.asarray(probe.inputs)[drawn]),
            "targets": (("trial", "step", "output"), np.asarray(probe.targets)[drawn]),
            "outputs": (("trial", "step", "output"), np.asarray(all_outputs, np.float32)[drawn]),
            "points": (("row", "component"), (states - mean) @ axes.T),
            "unstable_directions": (("row", "component"), np.concatenate([np.zeros((0, 3)), *directions])),
        }
    )


def state_spaces(pictures: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """Thin the pictures of a block's networks to what the page shows; their points are concatenated."""
    trials = len(next(iter(pictures.values())).trial)
    kept = even_selection(range(trials), KEPT_TRIALS)
    thin = [picture.isel(trial=kept, step=slice(-KEPT_STEPS, None)) for picture in pictures.values()]

    def rows(name: str) -> np.ndarray:
        return np.concatenate([picture[name].values for picture in thin]).astype(np.float32)

    def stacked(name: str) -> np.ndarray:
        return np.stack([picture[name].values for picture in thin]).astype(np.float32)

    return xr.Dataset(
        {
            "trajectory": (("network", "trial", "step", "component"), stacked("trajectory")),
            "variance_share": (("network", "component"), stacked("variance_share")),
            "inputs": thin[0]["inputs"],  # the probe is the same for all
            "points": (("row", "component"), rows("points")),
            "unstable_directions": (("row", "component"), rows("unstable_directions")),
        },
        coords={"network": np.array(list(pictures), dtype=str)},
    )
