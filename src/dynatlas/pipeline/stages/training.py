"""Jobs that train: tuning of lanes, hyperparameter search, and the networks.

Training and search write checkpoints, from which an interrupted job resumes; no bit of the result depends on where it
was interrupted.
"""

import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dynatlas._util.json import Json
from dynatlas.atlas.atlas import Atlas, Entry
from dynatlas.cells.cell import Cell, leaf_name
from dynatlas.errors import Stopped
from dynatlas.pipeline.progress import Report
from dynatlas.pipeline.workers.interruption import stop_requested
from dynatlas.study.members import Block, Configuration, Member, Shape
from dynatlas.study.settings import SEARCHED, Search
from dynatlas.tasks.task import Task
from dynatlas.training import lanes as side_by_side
from dynatlas.training.fit import BlockState, begin
from dynatlas.training.fit import train as fit
from dynatlas.training.loss import explained_variance
from dynatlas.training.search import SearchState, run_search, samples, start_search

State = TypeVar("State", BlockState, SearchState)


def tune(path: Path, shape: Shape, report: Report) -> list[Entry]:
    """Measure the best number of lanes of a shape; write ``mappings``."""
    atlas = Atlas.open(path)
    study = atlas.study
    members = study.shapes[shape]
    lanes = side_by_side.candidates(min(len(part) for block, part in study.blocks.items() if block.shape == shape))
    measured = side_by_side.measure(study.trained_task(shape), members, lambda key: study.cell(shape, key), lanes)
    device = jax.devices()[0]
    rows = [
        shape.columns
        | {"device": f"{device.platform} {device.device_kind}", "machine": platform.node()}
        | mapping._asdict()
        | {"chosen": mapping.lanes == side_by_side.fastest(measured)}
        for mapping in measured
    ]
    return [atlas.write_part("mappings", shape, pd.DataFrame(rows))]


def search(path: Path, configuration: Configuration, report: Report) -> list[Entry]:
    """Search one configuration's hyperparameters; write its rows of ``samples`` and ``sample_losses``."""
    atlas = Atlas.open(path)
    study = atlas.study
    settings = study.search or Search()
    shape = configuration.shape
    task, member = study.trained_task(shape), study.configurations[configuration][0]
    name = f"search-{configuration.name}"
    start = start_search(settings, member, lambda key: study.cell(shape, key))
    state = run_search(
        task,
        settings,
        member,
        _restored(atlas, name, start),
        lanes=_lanes(atlas, shape, settings.samples),
        between=_keeping(atlas, name, lambda state: report(state.block.done, _median_loss(state.block))),
    )
    rows, losses = [], []
    for sample, training in enumerate(samples(settings, member)):
        points = int(state.points[sample])
        label = configuration.columns | {"sample": sample}
        mse = state.validation_mse[sample, :points]
        rows.append(
            label
            | {setting: getattr(training, setting) for setting in SEARCHED}
            | {
                "optimizer": training.optimizer,
                "iterations": int(state.iterations[points - 1]),
                "mse": float(mse[-1]),
                "r2": float(explained_variance(task, training, mse[-1:])[0]),
                "diverged_at": int(state.diverged_at[sample]),
                "chosen": sample == state.chosen,
            }
        )
        losses.append(
            pd.DataFrame(
                label
                | {
                    "iteration": state.iterations[:points],
                    "training_loss": state.training_loss[sample, :points],
                    "validation_mse": mse,
                }
            )
        )
    entries = [
        atlas.write_part("samples", configuration, pd.DataFrame(rows)),
        atlas.write_part("sample_losses", configuration, pd.concat(losses, ignore_index=True)),
    ]
    atlas.remove_checkpoint(name)
    return entries


def train(path: Path, block: Block, report: Report) -> list[Entry]:
    """Train a block; write its weights, its rows of ``networks`` and of ``losses``."""
    atlas = Atlas.open(path)
    study = atlas.study
    task = study.trained_task(block)
    members = [_with_chosen_settings(atlas, member) for member in study.blocks[block]]
    kept = {iteration for member in members for iteration in study.snapshots_of(member)}
    name = f"train-{block.name}"
    start = begin(members, lambda key: study.cell(block, key))
    state = fit(
        task,
        members,
        _restored(atlas, name, start),
        until=members[0].training.iterations,
        lanes=_lanes(atlas, block.shape, len(members)),
        snapshots=kept,
        between=_keeping(atlas, name, lambda state: report(state.done, _median_loss(state))),
    )
    weights = {f"cell/{field}": value for field, value in _arrays(state.fits.cell).items()}
    if study.population.untrained_controls:
        weights |= {f"untrained/{field}": value for field, value in _arrays(start.fits.cell).items()}

    networks, losses, snapshots = [], [], {}
    all_r2 = explained_variance(task, members[0].training, state.validation_mse[:, -1])
    for row, member in enumerate(members):
        mse, r2 = float(state.validation_mse[row, -1]), float(all_r2[row])
        diverged_at = int(state.fits.diverged_at[row])
        reason = _failure(task, mse, r2, diverged_at)
        networks.append(
            _factors(member)
            | {"mse": mse, "r2": r2, "diverged_at": diverged_at, "passed": not reason, "reason": reason}
        )
        if study.snapshots_of(member):
            snapshots[member.id] = jax.tree.map(lambda leaf, row=row: leaf[row], state.snapshots)
        losses.append(
            pd.DataFrame(
                {
                    "network": member.id,
                    "iteration": state.iterations,
                    "training_loss": state.training_loss[row],
                    "validation_mse": state.validation_mse[row],
                }
            )
        )
    entries = [
        atlas.write_block(block, study.blocks[block], weights),
        atlas.write_part("networks", block, pd.DataFrame(networks)),
        atlas.write_part("losses", block, pd.concat(losses, ignore_index=True)),
    ]
    if study.follows(block):
        entries.append(atlas.write_snapshots(block, {network: _arrays(cells) for network, cells in snapshots.items()}))
    atlas.remove_checkpoint(name)
    return entries


def _lanes(atlas: Atlas, shape: Shape, members: int) -> int:
    """Return the number of lanes: the one measured for this atlas, if the shape was tuned."""
    if not atlas.has_part("mappings", shape):
        return side_by_side.untuned_lanes(members)
    measured = atlas.part("mappings", shape)
    return int(measured.lanes[measured.chosen].iloc[0])


def _with_chosen_settings(atlas: Atlas, member: Member) -> Member:
    """Return the member with the best settings of its configuration's search, if the study searches."""
    if atlas.study.search is None:
        return member
    rows = atlas.part("samples", member.configuration)
    best = rows[rows.chosen].iloc[0]
    chosen = {setting: float(best[setting]) for setting in SEARCHED}
    return member._replace(training=member.training.model_copy(update=chosen))


def _restored(atlas: Atlas, name: str, start: State) -> State:
    """Return the state of the job's checkpoint, or its start."""
    arrays = atlas.checkpoint(name)
    leaves, structure = jax.tree.flatten(start)
    if arrays is None or arrays.keys() != {str(i) for i in range(len(leaves))}:
        return start
    restored = [arrays[str(i)] for i in range(len(leaves))]
    if any(seen.dtype != leaf.dtype for seen, leaf in zip(restored, leaves, strict=True)):
        return start
    return jax.tree.unflatten(structure, restored)


def _keeping(atlas: Atlas, name: str, report: Callable[[State], None]) -> Callable[[State], None]:
    """Return the callback between segments: report, write a checkpoint when due, stop on request."""
    interval = 60 * atlas.study.execution.checkpoint_minutes
    last = time.monotonic()

    def between(state: State) -> None:
        nonlocal last
        report(state)
        stop = stop_requested()
        if stop or time.monotonic() - last >= interval:
            arrays = {str(i): np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(state))}
            atlas.write_checkpoint(name, arrays)
            last = time.monotonic()
        if stop:
            raise Stopped(f"stopped on request; {name} resumes from its checkpoint when the run is started again")

    return between


def _median_loss(state: BlockState) -> float:
    """Return the median over networks of the latest training loss; NaN before the first validation."""
    return float(np.median(state.training_loss[:, -1])) if len(state.iterations) else float("nan")


def _arrays(cells: Cell) -> dict[str, NDArray[Any]]:
    """Return a cell's weights by the names of its fields."""
    leaves = jax.tree_util.tree_leaves_with_path(cells)
    return {leaf_name(path): np.asarray(leaf) for path, leaf in leaves}


def _factors(member: Member) -> Json:
    """Return the columns of ``networks`` that are known before training."""
    training = member.training.model_dump(exclude={"validation_trials", "validation_interval"})
    factors = member.configuration.columns | {"seed": member.seed}
    return {"network": member.id, "name": member.name} | factors | training


def _failure(task: Task, mse: float, r2: float, diverged_at: int) -> str:
    """Return why a network is left out of analyses; empty if it is not."""
    if diverged_at >= 0:
        return f"diverged at iteration {diverged_at}"
    if task.passes(mse, r2):
        return ""
    measure, bound = task.threshold
    return f"MSE is not below {bound:g}" if measure == "mse" else f"R² is not above {bound:g}"
