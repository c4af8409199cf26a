"""What the jobs of a study need, by its networks."""

from collections import Counter

import pytest

from dynatlas import Study
from dynatlas.pipeline.jobs import FLOPS_WORTH_TUNING, jobs_of, training_flops


@pytest.fixture(scope="module")
def paper():
    """The paper's study with 4 seeds: two tiles on each side of a matrix, and a shape that is not worth tuning for."""
    study = Study.load("paper")
    return study.model_copy(update={"population": study.population.model_copy(update={"seeds": 4})})


@pytest.fixture(scope="module")
def jobs(paper):
    return {job.name: job for job in jobs_of(paper)}


def test_a_tile_needs_the_networks_of_its_rows_and_columns(paper, jobs):
    tiles = [job for job in jobs.values() if job.compute.__name__ == "compare_tile"]
    assert len(tiles) == 3 * len(paper.matrices)
    for job in tiles:
        [tile] = job.arguments
        sides = {member.id for side in tile.sides(paper) for member in side}
        needed = {jobs[need].arguments[0] for need in job.needs}
        if tile.matrix.measure == "transition_graph":
            assert needed == {block for block in paper.blocks if block.task == "flip_flop"}
        else:
            assert needed == {block for block, members in paper.blocks.items() if {one.id for one in members} & sides}


def test_every_job_comes_after_what_it_needs(jobs):
    seen = set()
    for name, job in jobs.items():
        assert job.needs <= seen
        seen.add(name)


def test_every_network_is_trained_once_the_longest_blocks_first(paper, jobs):
    blocks = [job.arguments[0] for job in jobs.values() if job.stage == "training"]
    assert Counter(member.id for block in blocks for member in paper.blocks[block]) == Counter(
        member.id for member in paper.members
    )
    flops = [training_flops(paper, block) for block in blocks]
    assert flops == sorted(flops, reverse=True)


def test_shapes_with_much_training_are_tuned_for(paper, jobs):
    tuned = {job.arguments[0] for job in jobs.values() if job.stage == "tuning"}
    flops = {
        shape: sum(paper.size(member).flops * member.training.iterations for member in members)
        for shape, members in paper.shapes.items()
    }
    assert 0 < len(tuned) < len(flops)
    assert tuned == {shape for shape, of_shape in flops.items() if of_shape >= FLOPS_WORTH_TUNING}
