"""Reuse of another atlas: its networks, and what was found in each, where this study would compute the same."""

from fnmatch import filter as matching

from dynatlas.atlas.atlas import Atlas
from dynatlas.pipeline.jobs import Job, jobs_of
from dynatlas.pipeline.stages.behavior import measure_behavior
from dynatlas.pipeline.stages.dynamics.findings import find_dynamics
from dynatlas.pipeline.stages.dynamics.snapshots import search_snapshots
from dynatlas.pipeline.stages.training import search, train
from dynatlas.study.members import Member
from dynatlas.study.study import Study

# Settings of [analysis] that decide how networks are compared, and nothing that is found in one of them.
COMPARING = (
    *("measures", "measure_options", "svcca_variance", "svcca_components", "svcca_per_network", "neighbors"),
    *("permutations", "bootstraps", "control_networks"),
)


def reuse(atlas: Atlas, source: Atlas) -> int:
    """Copy what finished jobs of another atlas wrote and jobs of this one would write again, bit for bit.

    Jobs that compare networks are done again: their results depend on all networks.

    Returns:
        Number of jobs that need not be done.

    Raises:
        DamagedAtlasError: an entry of the source is not what was written.
    """
    count, there = 0, source.entries
    done: set[str] = set()
    for job in jobs_of(atlas.study):
        # Findings are of these very weights: if networks are trained again, they are made again.
        is_due = not job.is_done(atlas.entries) and (job.stage in ("search", "training") or job.needs <= done)
        if is_due and job.is_done(there) and _is_same(job, atlas.study, source.study):
            names = job.promises.union(*(matching(there, pattern) for pattern in job.beyond))
            atlas.enter(*(atlas.copied(source, name) for name in sorted(names)))
            count += 1
        if job.is_done(atlas.entries):
            done.add(job.name)
    return count


def _is_same(job: Job, here: Study, there: Study) -> bool:
    """Whether a job of one network or block would compute the same in both studies."""
    if job.compute is search:
        return _ids(here.configurations[job.arguments[0]]) == _ids(there.configurations.get(job.arguments[0], ()))
    if job.compute not in (train, find_dynamics, measure_behavior, search_snapshots):
        return False
    [block] = job.arguments
    members, others = here.blocks[block], there.blocks.get(block, ())
    if _ids(members) != _ids(others):
        return False
    kept = [
        (here.snapshots_of(member), there.snapshots_of(other)) for member, other in zip(members, others, strict=True)
    ]
    if job.compute is train:
        same_controls = here.population.untrained_controls == there.population.untrained_controls
        return same_controls and (not here.follows(block) or all(ours == theirs for ours, theirs in kept))
    if job.compute is search_snapshots and any(ours != theirs for ours, theirs in kept):
        return False
    settings = [study.analysis.model_dump(exclude=set(COMPARING)) for study in (here, there)]
    return here.task(block.task) == there.task(block.task) and settings[0] == settings[1]


def _ids(members: tuple[Member, ...]) -> list[str]:
    return [member.id for member in members]
