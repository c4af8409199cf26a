"""The job that reduces a block's networks to what each measure of geometry compares."""

from pathlib import Path

import numpy as np
from jaxtyping import Float

from dynatlas.cells import Cell
from dynatlas.geometry import reduced
from dynatlas.pairs import Reduced
from dynatlas.progress import Report
from dynatlas.stages.networks import responses, trained
from dynatlas.store import Atlas, Entry
from dynatlas.study import Block
from dynatlas.tasks import Task


def reduce_activity(path: Path, block: Block, report: Report) -> list[Entry]:
    """Write what every measure keeps of the activity of a block's trained networks on the probe."""
    atlas = Atlas.open(path)
    analysis, task = atlas.study.analysis, atlas.study.task(block.task)
    kept: dict[str, dict[str, Reduced]] = {measure: {} for measure in analysis.measures}
    for member, cell in trained(atlas, block):
        activity = probe_activity(task, cell)
        for measure in analysis.measures:
            kept[measure][member.id] = reduced(activity, member.name, analysis.measure(measure))
    return [atlas.write_reduced(measure, block, networks) for measure, networks in kept.items()]


def probe_activity(task: Task, cell: Cell) -> Float[np.ndarray, "samples units"]:
    """A network's hidden states at every step of every probe trial, trial by trial."""
    states, _ = responses(cell, task.probe().inputs)
    return np.asarray(states, np.float64)[..., : cell.units].reshape(-1, cell.units)
