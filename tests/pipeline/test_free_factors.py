"""A study that crosses settings of a task and of training, and has a task twice, from its file to its verdicts."""

import numpy as np
import pandas as pd
import pytest

from dynatlas import Atlas
from dynatlas.pipeline.jobs import jobs_of
from dynatlas.training.loss import explained_variance
from support.studies import tiny_study

pytestmark = pytest.mark.usefixtures("quick_compilation")
TASK = {"kind": "flip_flop", "steps": 6, "channels": 1}


def study_of(**changes):
    return tiny_study(
        tasks=[TASK, TASK | {"name": "two_bits", "channels": 2}],
        factors={"tasks": {"pulse_probability": [0.2, 0.6]}, "training": {"learning_rate": [0.001, 0.1]}},
        population={"units": [3], "seeds": 2},
        training={"iterations": 2, "batch_size": 2},
        analysis={"measures": ["cka"], "fixed_point_starts": 16, "fixed_point_max_starts": 16, "permutations": 9},
        **changes,
    )


@pytest.fixture(scope="module")
def atlas(tmp_path_factory):
    """The atlas of the study's jobs, carried out one after the other; every network counts as trained."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dynatlas.tasks.flip_flop.FlipFlop.threshold", ("mse", 1e9))
        study = study_of()
        atlas = Atlas.create(tmp_path_factory.mktemp("factors") / "atlas", study)
        for job in jobs_of(study):
            if job.stage != "report":
                atlas.enter(*job.compute(atlas.path, *job.arguments, lambda done, loss: None))
        yield atlas


def test_each_network_has_its_levels_in_the_tables(atlas):
    networks = atlas.table("networks")
    assert len(networks) == 2 * 2 * 2 * 2
    assert list(networks.columns[:9]) == [
        *("network", "name", "task", "architecture", "activation", "units", "l2", "pulse_probability", "seed"),
    ]
    of = {member.id: member for member in atlas.study.members}
    for row in networks.itertuples():
        assert (row.pulse_probability, row.learning_rate) == tuple(of[row.network].factors.values())[4:]
    assert set(networks.task) == {"flip_flop", "two_bits"}


def test_the_error_is_on_the_trials_that_a_network_was_trained_on(atlas):
    """More pulses are another task: the variance of its targets, and so R² for one error, differ."""
    networks = atlas.table("networks")
    row = networks.iloc[0]
    member = next(member for member in atlas.study.members if member.id == row.network)
    task = atlas.study.trained_task(member.configuration)
    assert row.r2 == pytest.approx(explained_variance(task, member.training, np.array([row.mse]))[0])
    assert task.pulse_probability == row.pulse_probability


def test_the_further_factors_are_tested_like_the_others(atlas):
    headline = atlas.table("headline")
    assert {"pulse_probability", "learning_rate", "interactions", "seed"} <= set(headline.factor)
    effects = atlas.table("effects")
    assert {"pulse_probability 0.2", "learning_rate 0.1"} <= set(effects.subset)
    spread = atlas.table("spread")
    levels = set(zip(spread.factor, spread.level, strict=True))
    assert {("pulse_probability", "0.6"), ("learning_rate", "0.001")} <= levels


def test_claims_are_tested_on_both_tasks(atlas):
    claims = atlas.table("claims")
    assert {"flip_flop", "two_bits"} <= set(claims[claims.claim == "1"].task)


def test_the_atlas_opens_and_verifies(atlas):
    again = Atlas.open(atlas.path)
    assert again.study == atlas.study
    pd.testing.assert_frame_equal(again.table("networks"), atlas.table("networks"))
    assert [problem for problem in again.verify() if problem.name != "lock"] == []
