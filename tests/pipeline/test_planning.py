"""The plan: jobs played through by hand, counts by hand, and costs against what the library itself counts."""

import jax
import numpy as np
import pytest

from dynatlas import Study
from dynatlas.pipeline import planning
from dynatlas.pipeline.calibration import Cost
from dynatlas.pipeline.jobs import Job, jobs_of
from dynatlas.study.members import Shape
from support.studies import tiny_study


def job(name, *needs):
    return Job(name, "training", list, (), frozenset(needs), frozenset([name]))


def test_jobs_go_to_the_first_free_worker_and_compile_once_per_worker():
    jobs = [job("a"), job("b"), job("c"), job("d", "a", "b"), job("e", "d")]
    costs = {
        "a": ("p", 5.0, 10.0),
        "b": ("q", 5.0, 1.0),
        "c": ("q", 5.0, 2.0),
        "d": ("p", 5.0, 1.0),
        "e": ("r", 0.0, 4.0),
    }
    spans = planning.simulate(jobs, costs, workers=2, start_up=3.0)
    assert spans == {
        "a": (3, 18),  # compiles p
        "b": (3, 9),  # compiles q
        "c": (9, 11),  # q is compiled on this worker already
        "d": (18, 24),  # waits for a; goes to the worker that has been free longest, which has to compile p
        "e": (24, 28),
    }


def test_one_worker_does_one_after_the_other():
    jobs = [job("a"), job("b"), job("c", "a")]
    spans = planning.simulate(jobs, dict.fromkeys("abc", ("p", 2.0, 1.0)), workers=1, start_up=0.0)
    assert spans == {"a": (0, 3), "b": (3, 4), "c": (4, 5)}


def test_more_workers_than_jobs():
    spans = planning.simulate([job("a"), job("b", "a")], dict.fromkeys("ab", ("p", 0.0, 1.0)), workers=9, start_up=0.0)
    assert spans == {"a": (0, 1), "b": (1, 2)}


def test_sizes_between_the_timed_ones_are_interpolated_in_logarithms():
    costs = {
        Shape("flip_flop", "gru", "tanh", 16): Cost(1.0, 1.0),
        Shape("flip_flop", "gru", "tanh", 256): Cost(4.0, 16.0),
        Shape("flip_flop", "lstm", "tanh", 64): Cost(9.0, 9.0),
    }
    cost = planning.interpolated(Shape("flip_flop", "gru", "relu", 64), costs)
    assert cost.compile_seconds == pytest.approx(2)
    assert cost.seconds == pytest.approx(4)


@pytest.mark.parametrize("architecture", ["vanilla", "ugrnn", "gru", "lstm"])
def test_weights_are_counted_as_the_cell_has_them(architecture):
    study = Study.load("demo")
    member = next(member for member in study.members if member.architecture == architecture)
    cell = jax.eval_shape(lambda: study.cell(member.shape, jax.random.key(0)))
    assert study.size(member).weights == sum(np.prod(leaf.shape) for leaf in jax.tree.leaves(cell))


def test_the_search_of_a_study_is_counted_rung_by_rung():
    paper = Study.load("paper")
    few = paper.population.model_copy(update={"units": (64,), "l2": (1e-5,), "seeds": 2})
    study = paper.model_copy(update={"population": few})
    halving = study.model_copy(
        update={"search": study.search.model_copy(update={"method": "halving", "samples": 16, "factor": 4})}
    )
    (search,) = {planning.iterations(halving, job) for job in jobs_of(halving) if job.stage == "search"}
    assert search == 16 * 1250 + 4 * (5000 - 1250) + 20_000 - 5000
    (random,) = {planning.iterations(study, job) for job in jobs_of(study) if job.stage == "search"}
    assert random == 32 * 20_000
    assert (
        sum(planning.iterations(study, job) for job in jobs_of(study) if job.stage == "training") == 3 * 8 * 2 * 20_000
    )


def test_the_disk_counts_no_more_fixed_points_than_a_search_has_starts():
    def disk(channels, max_starts):
        return planning._disk(
            tiny_study(
                tasks=[{"kind": "flip_flop", "steps": 6, "channels": channels}],
                analysis={"fixed_point_max_starts": max_starts},
            )
        )

    # 2 networks of 4 units: 24 bytes for each unit of each point.
    assert disk(3, 27) - disk(3, 20) == 2 * 7 * 4 * 24
    assert disk(3, 1000) == disk(3, 27)
    assert disk(16, 1027) - disk(16, 27) == 2 * 1000 * 4 * 24


def test_the_time_of_training_follows_the_length_of_the_trials_that_a_level_has():
    study = tiny_study(
        tasks=[{"kind": "delayed_cue", "cue": 2, "delay": 2, "response": 2}],
        factors={"tasks": {"delay": [2, 16]}},
    )
    short, long = study.shapes
    assert [study.trained_task(shape).steps for shape in (short, long)] == [6, 20]
    measured = planning.Calibration(
        0.0, {short: Cost(1.0, 0.6)}, {short: Cost(1.0, 1.0)}, {"svcca": (0.1, 0.1), "cka": (0.1, 0.1)}
    )
    plan = planning.plan_from(study, 1, measured)
    [training] = [stage for stage in plan.stages if stage.name == "training"]
    each = study.members[0].training.iterations * study.population.seeds
    assert training.worker_seconds == pytest.approx(each * (0.6 + 2.0) + 2 * 1.0)
