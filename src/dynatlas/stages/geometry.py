"""The job that reduces a block's networks to what each measure of geometry compares, and to what its controls need."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float

from dynatlas.cells import Cell
from dynatlas.geometry import reduced
from dynatlas.pairs import Reduced
from dynatlas.progress import Report
from dynatlas.stages.networks import responses, trained
from dynatlas.store import Atlas, Entry
from dynatlas.study import Block, Member, Study
from dynatlas.tasks import Task


def reduce_activity(path: Path, block: Block, report: Report) -> list[Entry]:
    """Write what every measure keeps of the activity of a block's trained networks on the probe.

    Of those that the controls are made with, it also writes what is kept of their activity on half of the trials, in
    shuffled order, and before training; by the network's id and the version's name.
    """
    atlas = Atlas.open(path)
    analysis, task = atlas.study.analysis, atlas.study.task(block.task)
    controlled = set(controlled_members(atlas.study, block.task))
    has_untrained = atlas.study.population.untrained_controls
    before = dict(trained(atlas, block, untrained=True)) if has_untrained else {}
    whole: dict[str, dict[str, Reduced]] = {measure: {} for measure in analysis.measures}
    versions: dict[str, dict[str, Reduced]] = {measure: {} for measure in analysis.measures}
    for member, cell in trained(atlas, block):
        activity = probe_activity(task, cell)
        for measure in analysis.measures:
            whole[measure][member.id] = reduced(activity, member.name, analysis.measure(measure))
        if member in controlled:
            for version, other in _versions(task, member, activity, before.get(member)):
                for measure in analysis.measures:
                    kept = reduced(other, f"{member.name} ({version})", analysis.measure(measure))
                    versions[measure][f"{member.id} {version}"] = kept
    return [
        *(atlas.write_reduced(measure, block, networks) for measure, networks in whole.items()),
        *(atlas.write_reduced(controls_of(measure), block, networks) for measure, networks in versions.items()),
    ]


def controlled_members(study: Study, task: str) -> list[Member]:
    """An even selection of a task's members: those of them that pass, the controls are made with."""
    members = study.members_of(task)
    count = min(study.analysis.control_networks, len(members))
    return [members[place] for place in np.unique(np.linspace(0, len(members) - 1, count).round().astype(int))]


def controls_of(measure: str) -> str:
    """The name under which a measure's controls are kept."""
    return f"{measure}-controls"


def probe_activity(task: Task, cell: Cell) -> Float[np.ndarray, "samples units"]:
    """A network's hidden states at every step of every probe trial, trial by trial."""
    states, _ = responses(cell, task.probe().inputs)
    return np.asarray(states, np.float64)[..., : cell.units].reshape(-1, cell.units)


def _versions(
    task: Task, member: Member, activity: Float[np.ndarray, "samples units"], before: Cell | None
) -> Iterator[tuple[str, Float[np.ndarray, "some_samples units"]]]:
    """A network's activity on half of its trials; out of order; and before training."""
    trials = activity.reshape(-1, task.steps, activity.shape[1])
    yield "even", trials[::2].reshape(-1, activity.shape[1])
    yield "odd", trials[1::2].reshape(-1, activity.shape[1])
    yield "shuffled", np.random.default_rng(int(member.id, 16)).permutation(activity)
    if before is not None:
        yield "untrained", probe_activity(task, before)
