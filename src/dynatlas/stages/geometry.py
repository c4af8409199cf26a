"""The job that reduces a block's networks to what each measure of geometry compares, and to what its controls need."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Array, Float

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
    task = atlas.study.task(block.task)
    measures = {name: atlas.study.measure(name) for name in atlas.study.analysis.measures}
    inputs = task.probe().inputs
    controlled = set(controlled_members(atlas.study, block.task))
    has_untrained = atlas.study.population.untrained_controls
    before = dict(trained(atlas, block, untrained=True)) if has_untrained else {}
    kept: dict[str, dict[str, Reduced]] = {name: {} for measure in measures for name in (measure, controls_of(measure))}
    for member, cell in trained(atlas, block):
        activity = probe_activity(cell, inputs)
        for name, measure in measures.items():
            kept[name][member.id] = reduced(activity, member.name, measure)
        if member in controlled:
            untrained = probe_activity(before[member], inputs) if member in before else None
            for version, other in _versions(task, member, activity, untrained):
                for name, measure in measures.items():
                    of_version = reduced(other, f"{member.name} ({version})", measure)
                    kept[controls_of(name)][f"{member.id} {version}"] = of_version
    return [atlas.write_reduced(name, block, networks) for name, networks in kept.items()]


def controlled_members(study: Study, task: str) -> list[Member]:
    """An even selection of a task's members: those of them that pass, the controls are made with."""
    return even_selection(study.members_of(task), study.analysis.control_networks)


def even_selection(members: Sequence[Member], most: int) -> list[Member]:
    """At most so many members, evenly from the first to the last."""
    count = min(most, len(members))
    return [members[place] for place in np.unique(np.linspace(0, len(members) - 1, count).round().astype(int))]


def controls_of(measure: str) -> str:
    """The name under which a measure's controls are kept."""
    return f"{measure}-controls"


def probe_activity(cell: Cell, inputs: Float[Array, "trials steps inputs"]) -> Float[np.ndarray, "samples units"]:
    """A network's hidden states at every step of every probe trial, trial by trial."""
    states, _ = responses(cell, inputs)
    return np.asarray(states, np.float64)[..., : cell.units].reshape(-1, cell.units)


def _versions(
    task: Task,
    member: Member,
    activity: Float[np.ndarray, "samples units"],
    untrained: Float[np.ndarray, "samples units"] | None,
) -> Iterator[tuple[str, Float[np.ndarray, "some_samples units"]]]:
    """A network's activity on half of its trials; out of order; and before training."""
    trials = activity.reshape(-1, task.steps, activity.shape[1])
    yield "even", trials[::2].reshape(-1, activity.shape[1])
    yield "odd", trials[1::2].reshape(-1, activity.shape[1])
    yield "shuffled", np.random.default_rng(int(member.id, 16)).permutation(activity)
    if untrained is not None:
        yield "untrained", untrained
