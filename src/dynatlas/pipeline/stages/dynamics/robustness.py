"""The job that measures basins, and the smallest perturbation that leaves each attractor, of networks with several."""

from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jaxtyping import Float, PRNGKeyArray

from dynatlas._util.arrays import generator
from dynatlas.atlas.atlas import Atlas, Entry
from dynatlas.atlas.networks import trained
from dynatlas.cells.cell import Cell
from dynatlas.dynamics.points import FixedPoints
from dynatlas.dynamics.robustness.basins import basins
from dynatlas.dynamics.robustness.perturbations import smallest_perturbations
from dynatlas.dynamics.robustness.states import uniform_states
from dynatlas.dynamics.step import Box, Step
from dynatlas.pipeline.progress import Report
from dynatlas.pipeline.stages.dynamics.findings import NO_INPUTS, probe_states
from dynatlas.study.members import Block, Member

STATES = 1000  # of each set whose basins are measured
MAX_STEPS = 5000  # of a run
DIRECTIONS = 16  # random ones, for each attractor
SEED = 1_000_033  # of the keys, apart from those of other analyses


def measure_robustness(path: Path, block: Block, report: Report) -> list[Entry]:
    """Write a row for each stable root of the block's networks, under conditions with at least two."""
    atlas = Atlas.open(path)
    task = atlas.study.task(block.task)
    conditions = np.asarray(task.conditions(), np.float64)
    tables = []
    stored = _stored_points(atlas, block)
    for number, (member, network) in enumerate(trained(atlas, block)):
        cell = network.astype(np.float64)
        for condition, points in stored.get(member.id, {}).items():
            if ((points.n_unstable == 0) & ~points.is_slow).sum() < 2:
                continue
            visited = probe_states(task, cell)[task.probe_conditions() == condition]
            rows = _rows(member, cell, points, conditions[condition], visited.reshape(-1, visited.shape[-1]), condition)
            tables.append(pd.DataFrame({"network": member.id, "task": block.task, "condition": condition, **rows}))
        report(number + 1, float("nan"))
    return [atlas.write_part("robustness", block, pd.concat(tables) if tables else pd.DataFrame())]


def _rows(
    member: Member,
    cell: Cell,
    points: FixedPoints,
    inputs: Float[np.ndarray, " inputs"],
    visited: Float[np.ndarray, "samples state"],
    condition: int,
) -> dict[str, np.ndarray]:
    """Return the columns of one network and condition."""
    key = jax.random.fold_in(jax.random.fold_in(member.key("analysis"), SEED), condition)
    push_key, states_key = jax.random.split(key)
    with jax.enable_x64(True):
        step = cell.under(jnp.asarray(inputs))
        bounds = cell.box(jnp.asarray(inputs))
    box = None if bounds is None else (np.asarray(bounds[0], np.float64), np.asarray(bounds[1], np.float64))
    found = smallest_perturbations(step, points, NO_INPUTS, n_directions=DIRECTIONS, max_steps=MAX_STEPS, key=push_key)
    columns = {
        "point": found.points,
        "size": found.sizes,
        "relative_size": found.relative,
        "destination": found.destinations,
        "saddle": found.saddles,
        "angle": found.angles,
        "lower_bound": found.lower_bounds,
    }
    return columns | dict(_shares(step, points, visited, box, states_key, len(found)))


def _shares(
    step: Step,
    points: FixedPoints,
    visited: Float[np.ndarray, "samples state"],
    box: Box | None,
    key: PRNGKeyArray,
    count: int,
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the share of each stable root among states of the probe and of the box, with the ends of its interval."""
    probe_key, box_key = jax.random.split(key)
    sets: dict[str, Float[np.ndarray, "samples state"] | None] = {"probe": None, "box": None}
    if len(visited):
        sets["probe"] = visited[generator(probe_key).integers(len(visited), size=STATES)]
    if box is not None and np.isfinite(box).all():
        sets["box"] = uniform_states(box, points.states.shape[1], STATES, key=box_key)
    for name, states in sets.items():
        measured = np.full((count, 3), np.nan)
        if states is not None:
            reached = basins(step, states, points, NO_INPUTS, max_steps=MAX_STEPS)
            measured = np.column_stack([reached.shares[:count], reached.intervals[:count]])
        for column, values in zip(("share", "low", "high"), measured.T, strict=True):
            yield f"{name}_{column}", values


def _stored_points(atlas: Atlas, block: Block) -> dict[str, dict[int, FixedPoints]]:
    """Return the points of each network and condition of a block."""
    if not atlas.has(f"arrays.zarr/fixed_points/{block.name}"):
        return {}
    arrays, table = atlas.arrays(f"fixed_points/{block.name}"), atlas.part("fixed_points", block)
    states, eigenvalues = arrays.states.values, arrays.eigenvalues.values
    found: dict[str, dict[int, FixedPoints]] = {}
    for _, of in table.reset_index(drop=True).groupby(["network", "condition"], sort=False):
        rows = of.index.to_numpy()
        found.setdefault(str(of.network.iloc[0]), {})[int(of.condition.iloc[0])] = FixedPoints(
            states=states[rows],
            q=of.q.to_numpy(float),
            is_slow=of.is_slow.to_numpy(bool),
            n_unstable=of.n_unstable.to_numpy(np.int64),
            eigenvalues=eigenvalues[rows],
            index=of["index"].to_numpy(np.int64),
            newton_step=of.newton_step.to_numpy(float),
            on_kink=of.on_kink.to_numpy(bool),
            hits=of.hits.to_numpy(np.int64),
            certificate="not certifiable",
            rejected={},
            n_starts=0,
        )
    return found
