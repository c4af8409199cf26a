"""The job that makes a task's controls: what its distances in geometry are to be held against.

They are made with an even selection of the trained networks, the same for every measure:

- ``reliability``: how well the distances from the even trials of the probe predict those from the odd ones, as a
  correlation over pairs, corrected to the whole probe (Spearman–Brown): what no factor can explain more of.
- ``trained``: the mean distance between two trained networks.
- ``shuffled time``: the same when every network has its samples in an order of its own: what nothing in common gives.
- ``untrained``: the mean distance between two networks before training.
- ``own untrained``: between a network and itself before training.
- ``trained to untrained``: between a trained network and another one before training.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy.typing import NDArray

from dynatlas.cells import Cell
from dynatlas.geometry import Measure, reduced
from dynatlas.pairs import Reduced, all_pairs, labelled
from dynatlas.progress import Report
from dynatlas.resampling import Interval, mean_interval, mean_of_pairs, reliability
from dynatlas.stages.geometry import probe_activity
from dynatlas.stages.networks import trained
from dynatlas.store import Atlas, Entry
from dynatlas.study import Matrix, Member

Array = NDArray[np.float64]


def controls(path: Path, task: str, report: Report) -> list[Entry]:
    """Write the rows of ``controls`` and, with untrained networks, the arrays of the same name."""
    atlas = Atlas.open(path)
    analysis = atlas.study.analysis
    measures = {name: analysis.measure(name) for name in analysis.measures}
    members: list[Member] = []
    kept: dict[str, dict[str, list[Reduced]]] = {
        name: {"whole": [], "even": [], "odd": [], "shuffled": [], "untrained": []} for name in measures
    }
    for member, cell, before in _selected(atlas, task):
        members.append(member)
        for version, activity in _versions(atlas, member, cell, before):
            for name, measure in measures.items():
                kept[name][version].append(reduced(activity, f"{member.name} ({version})", measure))
    entries = []
    for name, measure in measures.items():
        rows = [
            {"control": control, "value": value, "low": ends.low, "high": ends.high, "n_networks": len(members)}
            for control, (value, ends) in _values(kept[name], measure, analysis.bootstraps).items()
        ]
        matrix = Matrix(task, name)
        entries.append(atlas.write_part("controls", matrix, pd.DataFrame([matrix._asdict() | row for row in rows])))
        if kept[name]["untrained"]:
            together = all_pairs(kept[name]["whole"] + kept[name]["untrained"], measure, threads=1)
            names = [member.id for member in members] + [f"{member.id} untrained" for member in members]
            is_trained = np.repeat([True, False], len(members))
            dataset = labelled(together, names, name).rename("distance").to_dataset()
            entries.append(
                atlas.write_arrays(f"controls/{task}/{name}", dataset.assign(is_trained=("network", is_trained)))
            )
    return entries


def _selected(atlas: Atlas, task: str) -> Iterator[tuple[Member, Cell, Cell | None]]:
    """An even selection of a task's trained networks, each with what it was before training, if that is kept."""
    study = atlas.study
    passed: set[str] = set()
    for block in study.blocks:
        if block.task == task:
            table = atlas.part("networks", block)
            passed |= set(table.network[table.passed])
    analysed = [member for member in study.members_of(task) if member.id in passed]
    count = min(study.analysis.control_networks, len(analysed))
    chosen = {analysed[place].id for place in np.linspace(0, len(analysed) - 1, count).round().astype(int)}
    for block, members in study.blocks.items():
        if block.task != task or not chosen & {member.id for member in members}:
            continue
        untrained = study.population.untrained_controls
        before = dict(trained(atlas, block, untrained=True)) if untrained else {}
        for member, cell in trained(atlas, block):
            if member.id in chosen:
                yield member, cell, before.get(member)


def _versions(
    atlas: Atlas, member: Member, cell: Cell, before: Cell | None
) -> Iterator[tuple[str, Float[np.ndarray, "samples units"]]]:
    """A network's activity on the probe; on half of its trials; out of order; and before training."""
    task = atlas.study.task(member.task)
    activity = probe_activity(task, cell)
    trials = activity.reshape(-1, task.steps, activity.shape[1])
    yield "whole", activity
    yield "even", trials[::2].reshape(-1, activity.shape[1])
    yield "odd", trials[1::2].reshape(-1, activity.shape[1])
    yield "shuffled", np.random.default_rng(int(member.id, 16)).permutation(activity)
    if before is not None:
        yield "untrained", probe_activity(task, before)


def _values(kept: dict[str, list[Reduced]], measure: Measure, bootstraps: int) -> dict[str, tuple[float, Interval]]:
    """Control → (value, interval)."""
    if len(kept["whole"]) < 3:
        return {}
    matrices: dict[str, Array] = {
        version: all_pairs(networks, measure, threads=1) for version, networks in kept.items() if networks
    }
    means = {"trained": "whole", "shuffled time": "shuffled", "untrained": "untrained"}
    values: dict[str, tuple[float, Interval]] = {
        "reliability": reliability(matrices["even"], matrices["odd"], bootstraps)
    }
    for control, version in means.items():
        if version in matrices:
            values[control] = mean_of_pairs(matrices[version], bootstraps)
    if kept["untrained"]:
        across = measure.tile(kept["whole"], kept["untrained"])
        own = np.diagonal(across)
        values["own untrained"] = float(own.mean()), mean_interval(own, bootstraps)
        values["trained to untrained"] = mean_of_pairs((across + across.T) / 2, bootstraps)
    return values
