"""The job that finds what each network computes: fixed points, their stability, transition graphs, a picture."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from dynatlas.cells import Cell
from dynatlas.fixed_points import FixedPoints, find_fixed_points
from dynatlas.linearization import unstable_direction
from dynatlas.progress import Report
from dynatlas.stages.networks import responses, trained
from dynatlas.store import Atlas, Entry
from dynatlas.study import Block, Member, Study
from dynatlas.tasks import FlipFlop, Task
from dynatlas.topology import canonical_order, transition_graph

# What the outputs of the flip-flop are at an ideal fixed point; see ``canonical_order``.
FLIP_FLOP_VALUES = (-1.0, 0.0, 1.0)
# Probe trials drawn in the trajectory pictures: enough to see the structure, few enough to see through.
DRAWN_TRIALS = 24
# Starts of a search, however many conditions share a network's starts.
FEWEST_STARTS = 64


def dynamics(path: Path, block: Block, report: Report) -> list[Entry]:
    """Fixed points of every trained network of a block under every condition, and its transition graph."""
    atlas = Atlas.open(path)
    study = atlas.study
    task = study.task(block.task)
    entries: list[Entry] = []
    searches: list[dict[str, Any]] = []
    rows: list[pd.DataFrame] = []
    transitions: list[pd.DataFrame] = []
    found: list[FixedPoints] = []
    for done, (member, network) in enumerate(trained(atlas, block)):
        cell = network.astype(np.float64)
        visited = visited_states(task, cell)
        conditions = [
            search_condition(study, task, member, cell, condition, visited) for condition in range(task.n_conditions)
        ]
        found += conditions
        for condition, points in enumerate(conditions):
            searches.append(_search_row(member, task, condition, points))
            rows.append(_point_rows(member, condition, points, _readouts(cell, points)))
        if isinstance(task, FlipFlop):
            transitions.append(_transitions(study, member, cell, conditions[0]))
        if done == 0:  # the representative of its block
            entries.append(atlas.write_arrays(f"trajectories/{member.id}", _trajectories(task, cell, conditions)))
        report(done + 1, float("nan"))

    table = pd.concat(rows, ignore_index=True) if rows else pd.DataFrame()
    if len(table):
        entries.append(atlas.write_arrays(f"fixed_points/{block.name}", _point_arrays(table, found)))
    return [
        *entries,
        atlas.write_part("searches", block, pd.DataFrame(searches)),
        atlas.write_part("fixed_points", block, table),
        atlas.write_part(
            "transitions",
            block,
            pd.concat(transitions, ignore_index=True) if transitions else pd.DataFrame(),
        ),
    ]


def search_starts(study: Study, task: Task) -> int:
    """Starts of the search under one condition; it adds its own while its index sum is not 1."""
    return max(study.analysis.fixed_point_starts // task.n_conditions, FEWEST_STARTS)


def visited_states(task: Task, cell: Cell) -> NDArray[np.float64]:
    """All states that a network visits on the probe."""
    with jax.enable_x64(True):
        states, _ = responses(cell, jnp.asarray(np.asarray(task.probe().inputs, np.float64)))
        return np.asarray(states).reshape(-1, states.shape[-1])


def search_condition(
    study: Study, task: Task, member: Member, cell: Cell, condition: int, visited: NDArray[np.float64]
) -> FixedPoints:
    """The fixed points under one condition, sought from visited states plus noise."""
    settings = study.analysis
    inputs = np.asarray(task.conditions()[condition], np.float64)
    starts = search_starts(study, task)
    with jax.enable_x64(True):
        key = jax.random.fold_in(member.key("analysis"), condition)
        row_key, noise_key, search_key = jax.random.split(key, 3)
        rows = np.asarray(jax.random.randint(row_key, (starts,), 0, len(visited), jnp.int32))
        noise = np.asarray(jax.random.normal(noise_key, (len(rows), visited.shape[1]), jnp.float64))
        points = find_fixed_points(
            cell,
            visited[rows] + settings.fixed_point_noise * noise,
            inputs,
            box=cell.box(jnp.asarray(inputs)),
            tol=settings.fixed_point_tolerance,
            slow_tol=settings.slow_point_tolerance,
            max_starts=settings.fixed_point_max_starts,
            key=search_key,
        )
        ideal = FLIP_FLOP_VALUES if isinstance(task, FlipFlop) else ()
        return _in_canonical_order(points, _readouts(cell, points), ideal)


def _readouts(cell: Cell, points: FixedPoints) -> NDArray[np.float64]:
    """The network's output at each point."""
    hidden = points.states[:, : cell.units] if len(points) else np.zeros((0, cell.units))
    return np.asarray(hidden @ np.asarray(cell.readout_weights).T + np.asarray(cell.readout_bias), np.float64)


def _in_canonical_order(points: FixedPoints, readouts: NDArray[np.float64], ideal: Sequence[float]) -> FixedPoints:
    """Roots by readout, then slow points by readout."""
    if not len(points):
        return points
    order = canonical_order(readouts, ideal) if ideal else np.lexsort(readouts.T[::-1])
    return points.take(order[np.argsort(points.is_slow[order], kind="stable")])


def _transitions(study: Study, member: Member, cell: Cell, points: FixedPoints) -> pd.DataFrame:
    """The edges of one network's transition graph; roots come first, so their numbers are those of the table."""
    graph = transition_graph(
        cell,
        points.roots(),
        np.zeros(cell.input_weights.shape[1]),
        trials=study.analysis.transition_trials,
        scale=study.analysis.transition_scale,
        key=jax.random.fold_in(member.key("analysis"), 1_000_003),
    )
    source, target = np.nonzero(graph)
    return pd.DataFrame(
        {"network": member.id, "source": source, "target": target, "probability": graph[source, target]}
    )


def _search_row(member: Member, task: Task, condition: int, points: FixedPoints) -> dict[str, Any]:
    roots = points.roots()
    return {
        "network": member.id,
        "task": member.task,
        "condition": condition,
        "condition_name": task.condition_names()[condition],
        "n_roots": len(roots),
        "n_stable": int((roots.n_unstable == 0).sum()),
        "n_slow": int(points.is_slow.sum()),
        "index_sum": points.index_sum,
        "certificate": points.certificate,
        "n_starts": points.n_starts,
        "n_singletons": points.n_singletons,
        "rejected": json.dumps(points.rejected, sort_keys=True),
    }


def _point_rows(member: Member, condition: int, points: FixedPoints, readouts: NDArray[np.float64]) -> pd.DataFrame:
    leading = points.eigenvalues[:, 0] if len(points) else np.zeros(0, complex)
    return pd.DataFrame(
        {
            "network": member.id,
            "task": member.task,
            "condition": condition,
            "point": np.arange(len(points)),
            "q": points.q,
            "is_slow": points.is_slow,
            "n_unstable": points.n_unstable,
            "index": points.index,
            "hits": points.hits,
            "spectral_radius": np.abs(leading),
            "leading_angle": np.abs(np.angle(leading)),
            "readout": list(readouts),
        }
    )


def _point_arrays(table: pd.DataFrame, points: list[FixedPoints]) -> xr.Dataset:
    """States and spectra, row by row as in the table."""
    filled = [item for item in points if len(item)]
    return xr.Dataset(
        {
            "states": (("row", "state"), np.concatenate([item.states for item in filled])),
            "eigenvalues": (("row", "state"), np.concatenate([item.eigenvalues for item in filled])),
            "network": (("row",), table.network.to_numpy(str)),
            "condition": (("row",), table.condition.to_numpy()),
            "point": (("row",), table.point.to_numpy()),
        }
    )


def _trajectories(task: Task, cell: Cell, points: list[FixedPoints]) -> xr.Dataset:
    """One network's probe trials and fixed points in the plane of its first three principal components."""
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

    drawn = np.unique(np.linspace(0, len(hidden) - 1, DRAWN_TRIALS).round().astype(int))
    conditions = np.asarray(task.conditions(), np.float64)
    directions = [
        unstable_direction(cell, state, conditions[condition])[: cell.units] @ axes.T
        for condition, found in enumerate(points)
        for state in found.states
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
            "unstable_directions": (("row", "component"), np.array(directions).reshape(-1, 3)),
        }
    )
