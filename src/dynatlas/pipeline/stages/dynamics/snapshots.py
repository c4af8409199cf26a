"""Jobs that follow networks through their training: errors, fixed points and distances at every snapshot."""

from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy.typing import NDArray

from dynatlas.atlas.atlas import Atlas, Entry
from dynatlas.atlas.networks import agreed_measure, passed
from dynatlas.cells.cell import Cell
from dynatlas.cells.responses import probe_activity
from dynatlas.dynamics.points import FixedPoints
from dynatlas.measures.distances import reduced
from dynatlas.measures.measure import Measure
from dynatlas.measures.pairs import Reduced, compare, in_groups
from dynatlas.pipeline.progress import Report
from dynatlas.pipeline.stages.dynamics.findings import point_arrays, probe_states, search_conditions
from dynatlas.statistics.embedding import spot
from dynatlas.study.members import Block, Matrix, Member
from dynatlas.training.fit import validate
from dynatlas.training.loss import explained_variance, held_out_trials

# The tables that search_snapshots writes.
TABLES = ("snapshots", "snapshot_searches", "snapshot_points")


def search_snapshots(path: Path, block: Block, report: Report) -> list[Entry]:
    """Write the error of every snapshot of a block's networks, and its fixed points under each condition."""
    atlas = Atlas.open(path)
    study, task = atlas.study, atlas.study.task(block.task)
    trained_on = study.trained_task(block)
    held_out = held_out_trials(trained_on, study.training.validation_trials)
    rows: dict[str, list[pd.DataFrame]] = {name: [] for name in TABLES}
    found: list[FixedPoints] = []
    for number, (member, cells) in enumerate(_kept(atlas, block)):
        errors = np.asarray(validate(cells, held_out), np.float64)
        label = {"network": member.id, "task": block.task, "iteration": study.snapshots_of(member)}
        rows["snapshots"].append(pd.DataFrame(label | {"mse": errors}))
        for iteration, cell in _each(study.snapshots_of(member), cells):
            exact = cell.astype(np.float64)
            visited = probe_states(task, exact)
            if not np.isfinite(visited).all():
                continue  # the network diverges on the probe, and has an infinite error
            conditions, of_snapshot = search_conditions(study, task, member, exact, visited)
            rows["snapshot_searches"].append(of_snapshot["searches"].assign(iteration=iteration))
            rows["snapshot_points"].append(of_snapshot["fixed_points"].assign(iteration=iteration))
            found += conditions
        report(number + 1, float("nan"))
    tables = {name: pd.concat(parts, ignore_index=True) if parts else pd.DataFrame() for name, parts in rows.items()}
    if len(tables["snapshots"]):
        errors = tables["snapshots"].mse.to_numpy()
        tables["snapshots"]["r2"] = explained_variance(trained_on, study.blocks[block][0].training, errors)
    entries = [atlas.write_part(name, block, table) for name, table in tables.items()]
    if len(tables["snapshot_points"]):
        arrays = point_arrays(tables["snapshot_points"], found)
        arrays["iteration"] = ("row", tables["snapshot_points"].iteration.to_numpy())
        entries.append(atlas.write_arrays(f"snapshot_points/{block.name}", arrays))
    return entries


def place_snapshots(path: Path, block: Block, report: Report) -> list[Entry]:
    """Write the distances from every snapshot to the trained networks of its task, and its place on their map."""
    atlas = Atlas.open(path)
    study, task = atlas.study, block.task
    probe = study.task(task).probe()
    activity = {
        member.id: [probe_activity(cell, probe.inputs) for _, cell in _each(study.snapshots_of(member), cells)]
        for member, cells in _kept(atlas, block)
    }
    tables = []
    for name in study.analysis.activity_measures if activity else ():
        measure = agreed_measure(atlas, task, name)
        trained = _trained(atlas, task, name)
        map_of = atlas.part("embeddings", Matrix(task, name)).set_index("network").loc[list(trained), ["x", "y"]]
        for member in passed(atlas, block):
            if member.id in activity:
                distances = _distances(activity[member.id], measure, member, np.asarray(probe.inputs), trained)
                table = _placed(distances, list(trained), member.id, map_of.to_numpy())
                label = {"network": member.id, "task": task, "measure": name}
                tables.append(table.assign(**label, iteration=study.snapshots_of(member)))
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
    return [atlas.write_part("snapshot_distances", block, table)]


def _kept(atlas: Atlas, block: Block) -> Iterator[tuple[Member, Cell]]:
    """Yield the members that passed and have snapshots, with these, stacked."""
    snapshots = atlas.snapshots(block)
    yield from ((member, snapshots[member.id]) for member in passed(atlas, block) if member.id in snapshots)


def _each(iterations: tuple[int, ...], cells: Cell) -> Iterator[tuple[int, Cell]]:
    arrays = jax.tree.map(np.asarray, cells)
    for place, iteration in enumerate(iterations):
        yield iteration, jax.tree.map(lambda leaf, place=place: leaf[place], arrays)


def _trained(atlas: Atlas, task: str, measure: str) -> dict[str, Reduced]:
    """Return the trained networks of a task as a measure compares them."""
    blocks = (block for block in atlas.study.blocks if block.task == task)
    return {network: kept for block in blocks for network, kept in atlas.reduced(measure, block).items()}


def _distances(
    activities: list[Float[np.ndarray, "samples units"]],
    measure: Measure,
    member: Member,
    inputs: Float[np.ndarray, "trials steps inputs"],
    trained: dict[str, Reduced],
) -> Float[np.ndarray, "snapshots networks"]:
    """Return the distances of a network's snapshots to the trained networks; NaN where a snapshot cannot be compared.

    Before training, and where it fails for a while, activity may be constant or not finite.
    """
    kept = {}
    for place, activity in enumerate(activities):
        try:
            kept[place] = reduced(activity, member.name, measure, inputs)
        except ValueError:
            continue
    distances = np.full((len(activities), len(trained)), np.nan)
    if kept:
        columns = in_groups(list(trained.values()))
        distances[list(kept)] = compare(in_groups(list(kept.values())), columns, measure, threads=1)
    return distances


def _placed(
    distances: NDArray[np.float64], networks: list[str], own: str, coordinates: NDArray[np.float64]
) -> pd.DataFrame:
    """Return a row per snapshot: distances to the network's own end and to the others, and a place on the map."""
    others = np.array([network != own for network in networks])
    rows = []
    for row in distances:
        known = np.isfinite(row).all()
        place, misfit = spot(coordinates, row) if known else (np.full(2, np.nan), np.nan)
        rows.append(
            {
                "to_end": row[~others].item() if (~others).any() else np.nan,
                "to_others": float(row[others].mean()) if others.any() else np.nan,
                "nearest": networks[int(row.argmin())] if known else "",
                "x": place[0],
                "y": place[1],
                "misfit": misfit,
            }
        )
    return pd.DataFrame(rows)
