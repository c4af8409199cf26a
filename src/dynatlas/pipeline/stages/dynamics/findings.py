"""The job that finds what each network computes: fixed points, their stability, graphs, attractors, a picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from dynatlas._util.arrays import generator
from dynatlas.atlas.atlas import Atlas, Entry
from dynatlas.atlas.networks import trained
from dynatlas.atlas.view import shown_factors
from dynatlas.cells.cell import Cell
from dynatlas.cells.responses import first_output, read_out, responses
from dynatlas.dynamics.attractors import Attractor, find_attractors
from dynatlas.dynamics.fixed_points import find_fixed_points
from dynatlas.dynamics.graphs import canonical_order
from dynatlas.dynamics.intervals.uniqueness import uniqueness
from dynatlas.dynamics.linearization import linearize
from dynatlas.dynamics.points import FixedPoints
from dynatlas.dynamics.tables import point_columns, search_columns
from dynatlas.measures.findings import TRANSITIONS, comparing
from dynatlas.pipeline.progress import Report
from dynatlas.pipeline.stages.dynamics.integration import Integration, integration, integration_arrays
from dynatlas.pipeline.stages.dynamics.oscillations import oscillations
from dynatlas.pipeline.stages.dynamics.trajectories import state_spaces, trajectories
from dynatlas.pipeline.stages.dynamics.transitions import transition_sensitivity, transitions
from dynatlas.study.members import Block, Member
from dynatlas.study.study import Study
from dynatlas.tasks.task import Task

# The measures that compare transition graphs, which are made for tasks that name one of them.
GRAPHS = comparing(TRANSITIONS)
# Starts of a search, however many conditions share a network's starts.
FEWEST_STARTS = 64
# What a cell takes that is under a static input.
NO_INPUTS = np.zeros(0)

# The tables that the job writes.
TABLES = (
    *("searches", "fixed_points", "transitions", "transition_sensitivity"),
    *("attractors", "oscillations", "line_attractors"),
)


class Findings(NamedTuple):
    """What was found of one network."""

    tables: dict[str, pd.DataFrame]
    conditions: list[FixedPoints]
    lines: list[Integration]


def find_dynamics(path: Path, block: Block, report: Report) -> list[Entry]:
    """What every trained network of a block computes."""
    atlas = Atlas.open(path)
    study = atlas.study
    task = study.task(block.task)
    entries: list[Entry] = []
    found: list[Findings] = []
    pictures: dict[str, xr.Dataset] = {}
    drawn: set[tuple[object, ...]] = set()
    for member, network in trained(atlas, block):
        cell = network.astype(np.float64)
        found.append(findings(study, task, member, cell))
        pictures[member.id] = trajectories(task, cell, found[-1].conditions)
        variant = tuple(member.factors[factor] for factor in shown_factors(study))
        if variant not in drawn:  # the representative of its variant in this block
            drawn.add(variant)
            entries.append(atlas.write_arrays(f"trajectories/{member.id}", pictures[member.id]))
        report(len(found), float("nan"))

    rows = {name: [one.tables[name] for one in found if name in one.tables] for name in TABLES}
    tables = {name: pd.concat(parts, ignore_index=True) if parts else pd.DataFrame() for name, parts in rows.items()}
    if len(tables["fixed_points"]):
        arrays = point_arrays(tables["fixed_points"], [points for one in found for points in one.conditions])
        entries.append(atlas.write_arrays(f"fixed_points/{block.name}", arrays))
    if pictures:
        entries.append(atlas.write_arrays(f"state_spaces/{block.name}", state_spaces(pictures)))
    if lines := [line for one in found for line in one.lines]:
        entries.append(atlas.write_arrays(f"line_attractors/{block.name}", integration_arrays(lines)))
    return [*entries, *(atlas.write_part(name, block, table) for name, table in tables.items())]


def findings(study: Study, task: Task, member: Member, cell: Cell) -> Findings:
    """One network's fixed points under every condition, and what they form together."""
    visited = probe_states(task, cell)
    conditions, tables = search_conditions(study, task, member, cell, visited)
    tables["attractors"] = attractors(study, task, member, cell, visited)
    lines: list[Integration] = []
    if GRAPHS & set(task.topology):
        inputs = np.asarray(task.conditions()[0], np.float64)  # the only condition
        graph = transitions(study, member, cell, conditions[0], inputs)
        tables["transitions"] = graph
        tables["transition_sensitivity"] = transition_sensitivity(study, member, cell, conditions[0], graph, inputs)
    if "oscillation" in task.computations:
        tables["oscillations"] = oscillations(task, member, cell, conditions, visited)
    if "integration" in task.computations:
        lines = integration(study, task, member, cell, visited, conditions)
        tables["line_attractors"] = pd.DataFrame([line.row for line in lines])
    return Findings(tables, conditions, lines)


def search_starts(study: Study, task: Task) -> int:
    """Starts of the search under one condition; it adds its own while its index sum is not 1."""
    return max(study.analysis.fixed_point_starts // task.n_conditions, FEWEST_STARTS)


def probe_states(task: Task, cell: Cell) -> NDArray[np.float64]:
    """The states that a network visits on the probe [trials, steps, state]."""
    inputs = np.asarray(task.probe().inputs, np.float64)
    with jax.enable_x64(True):
        states, _ = responses(cell, jnp.asarray(inputs))
        return np.asarray(states)


def search_conditions(
    study: Study, task: Task, member: Member, cell: Cell, visited: NDArray[np.float64]
) -> tuple[list[FixedPoints], dict[str, pd.DataFrame]]:
    """The fixed points under every condition, and their rows of ``searches`` and ``fixed_points``."""
    conditions = [
        search_condition(study, task, member, cell, condition, visited) for condition in range(task.n_conditions)
    ]
    points = [_points(member, task, condition, cell, points) for condition, points in enumerate(conditions)]
    tables = {"searches": _searches(member, task, conditions), "fixed_points": pd.concat(points, ignore_index=True)}
    return conditions, tables


def search_condition(
    study: Study, task: Task, member: Member, cell: Cell, condition: int, visited: NDArray[np.float64]
) -> FixedPoints:
    """The fixed points under one condition, sought from visited states plus noise."""
    settings = study.analysis
    inputs = np.asarray(task.conditions()[condition], np.float64)
    starts = search_starts(study, task)
    visited = visited.reshape(-1, visited.shape[-1])
    key, search_key = jax.random.split(jax.random.fold_in(member.key("analysis"), condition))
    random = generator(key)
    rows = random.integers(len(visited), size=starts)
    noise = random.normal(size=(starts, visited.shape[1]))
    with jax.enable_x64(True):
        points = find_fixed_points(
            cell.under(jnp.asarray(inputs)),
            visited[rows] + settings.fixed_point_noise * noise,
            NO_INPUTS,
            box=cell.box(jnp.asarray(inputs)),
            tol=settings.fixed_point_tolerance,
            slow_tol=settings.slow_point_tolerance,
            max_starts=settings.fixed_point_max_starts,
            max_seconds=settings.fixed_point_max_seconds,
            max_regions=settings.fixed_point_max_regions,
            key=search_key,
        )
        return _in_canonical_order(points, _readouts(cell, points), task.ideal_outputs)


def _readouts(cell: Cell, points: FixedPoints) -> NDArray[np.float64]:
    """The network's output at each point."""
    return read_out(cell, points.states if len(points) else np.zeros((0, len(cell.initial_state))))


def _in_canonical_order(points: FixedPoints, readouts: NDArray[np.float64], ideal: Sequence[float]) -> FixedPoints:
    """Roots by readout, then slow points by readout."""
    if not len(points):
        return points
    order = canonical_order(readouts, ideal) if ideal else np.lexsort(readouts.T[::-1])
    return points.take(order[np.argsort(points.is_slow[order], kind="stable")])


def _searches(member: Member, task: Task, conditions: list[FixedPoints]) -> pd.DataFrame:
    """How the search went under each condition."""
    return pd.DataFrame(
        {
            "network": member.id,
            "task": member.task,
            "condition": condition,
            "condition_name": task.condition_names()[condition],
            **search_columns(points),
        }
        for condition, points in enumerate(conditions)
    )


def _points(member: Member, task: Task, condition: int, cell: Cell, points: FixedPoints) -> pd.DataFrame:
    """The points of one condition."""
    inputs = np.asarray(task.conditions()[condition], np.float64)
    states = points.states.reshape(-1, cell.initial_state.shape[0])
    with jax.enable_x64(True):
        step = cell.under(jnp.asarray(inputs))
    around, proof = linearize(step, states, NO_INPUTS), uniqueness(step, states, NO_INPUTS)
    return pd.DataFrame(
        {
            "network": member.id,
            "task": member.task,
            "condition": condition,
            "point": np.arange(len(points)),
            "leading_angle": np.abs(np.angle(around.eigenvalues[:, 0])),
            **point_columns(points, around, proof.radius, proof.error),
            "readout": list(_readouts(cell, points)),
        }
    )


def point_arrays(table: pd.DataFrame, points: list[FixedPoints]) -> xr.Dataset:
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


def _output_amplitude(cell: Cell, attractor: Attractor) -> float:
    """Half the range of the first output on an attractor; NaN if the states are not finite."""
    if not np.isfinite(attractor.states).all():
        return np.nan
    return float(np.ptp(first_output(cell, attractor.states, with_bias=False))) / 2


def attractors(study: Study, task: Task, member: Member, cell: Cell, visited: NDArray[np.float64]) -> pd.DataFrame:
    """The attractor that a network reaches under each condition, from the end of a probe trial under it."""
    trials = task.probe_conditions()
    starts = np.array([visited[np.flatnonzero(trials == condition)[-1], -1] for condition in range(task.n_conditions)])
    reached = find_attractors(
        cell, starts, np.asarray(task.conditions(), np.float64), max_steps=study.analysis.attractor_steps, n_exponents=2
    )
    return pd.DataFrame(
        {
            "network": member.id,
            "task": member.task,
            "condition": condition,
            "kind": attractor.kind,
            "period": attractor.period,
            "rotation_number": attractor.rotation_number,
            "amplitude": attractor.amplitude,
            "output_amplitude": _output_amplitude(cell, attractor),
            "exponent_1": attractor.exponents[0],
            "exponent_2": attractor.exponents[1] if len(attractor.exponents) > 1 else np.nan,
        }
        for condition, attractor in enumerate(reached)
    )
