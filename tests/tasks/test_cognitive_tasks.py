"""The tasks with periods, and path integration: every trial against loops that walk through it."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from dynatlas.tasks import (
    BUILT_IN,
    PAPER,
    TASKS,
    AnyTask,
    MemoryAngle,
    PathIntegration,
    Task,
    built_in_task,
)
from dynatlas.tasks.checks import check_task
from support.trials import assert_share, draw, periods_of, trials

pytestmark = pytest.mark.usefixtures("quick_compilation")
KINDS = [kind for kind in BUILT_IN if kind not in PAPER]
every_task = pytest.mark.parametrize("kind", KINDS)

# Settings under which every period, the jitter and every weight differ from the defaults.
VARIED: dict[str, dict[str, Any]] = {
    "delayed_discrimination": {"fixation": 2, "stimulus": 3, "delay": 4, "jitter": 6, "response": 5, "grace": 1},
    "perceptual_decision": {"fixation": 2, "stimulus": 6, "delay": 3, "response": 4, "grace": 3, "noise": 0.4},
    "match_to_sample": {"samples": 3, "fixation": 1, "stimulus": 2, "delay": 3, "jitter": 4, "grace": 0},
    "path_integration": {"steps": 30, "cue": 4, "speed": 0.3, "momentum": 0.5},
    "memory_angle": {"fixation": 1, "cue": 2, "delay": 3, "jitter": 5, "response": 4, "fixation_weight": 0.5},
    "delayed_cue": {"cues": 3, "cue": 2, "delay": 5, "response": 3, "after": 4, "noise": 0.2},
    "context_decision": {"fixation": 2, "stimulus": 3, "response": 4, "coherences": (0.1, 0.8), "noise": 0.3},
}
both_settings = pytest.mark.parametrize(
    "task", [TASKS[kind](**settings) for kind in KINDS for settings in ({}, VARIED[kind])], ids=lambda task: task.kind
)


# ---------------------------------------------------------------- what holds for all of them


@both_settings
def test_a_task_keeps_what_the_stages_rely_on(task: Task) -> None:
    check_task(task)
    assert task.computations == ()
    assert task.title
    assert task.summary.endswith(".")


def test_the_computations_are_still_those_of_the_paper() -> None:
    assert [built_in_task(name) for name in ("memory", "oscillation", "integration")] == list(PAPER)
    assert BUILT_IN[:3] == PAPER


@both_settings
def test_the_key_decides_the_trial_and_its_float32_numbers(task: Task) -> None:
    first, again, other = (trials(task, jax.random.key(seed), 16) for seed in (1, 1, 2))
    with jax.enable_x64(True):
        wide = trials(task, jax.random.key(1), 16)
    for part, same, wide_part in zip(*map(jax.tree.leaves, (first, again, wide)), strict=True):
        np.testing.assert_array_equal(part, same)
        assert part.dtype == wide_part.dtype == jnp.float32
        np.testing.assert_allclose(part, wide_part, rtol=1e-5, atol=1e-5)
    assert not np.array_equal(first.inputs, other.inputs)
    assert not np.array_equal(first.targets, other.targets)


@both_settings
def test_the_probe_is_always_the_same_and_has_every_condition(task: Task) -> None:
    first = jax.tree.leaves(task.probe())
    with jax.enable_x64(True), jax.default_prng_impl("rbg"):
        for part, same in zip(first, jax.tree.leaves(task.probe()), strict=True):
            assert part.dtype == same.dtype == jnp.float32
            np.testing.assert_array_equal(part, same)
    assert set(task.probe_conditions().tolist()) == set(range(task.n_conditions))
    assert len(task.probe_conditions()) == len(first[0])


@both_settings
def test_the_target_is_an_answer_without_error_and_a_constant_is_none(task: Task) -> None:
    """By the definition that Trial states."""
    _, targets, weights = draw(task)

    def error(outputs: np.ndarray) -> float:
        return float((weights * (outputs - targets) ** 2).sum() / weights.sum())

    assert error(targets) == 0
    mean = (weights * targets).sum() / weights.sum()
    assert error(np.full_like(targets, mean)) > 0.05


@every_task
def test_settings_survive_a_study_file_and_members_do_not_depend_on_steps(kind: str) -> None:
    task = TASKS[kind](**VARIED[kind])
    stored = task.model_dump(mode="json")
    assert ("steps" in stored) == (kind == "path_integration")
    again = TypeAdapter(AnyTask).validate_python(stored | {"steps": task.steps})
    assert again == task
    assert hash(again) == hash(task)
    assert again.model_dump(mode="json") == stored


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        ("memory_angle", {"steps": 41}, "steps is 41, and the periods take 40 steps; leave steps out"),
        ("delayed_cue", {"delay": 100_000}, "the periods take 100016 steps; expected at most 100000"),
        ("match_to_sample", {"grace": 10}, "grace is 10, and the response takes 10 steps; expected fewer"),
        ("perceptual_decision", {"coherences": (0.1, 0.1)}, "names a coherence twice"),
        ("perceptual_decision", {"coherences": (0.0,)}, "greater than 0"),
        ("delayed_discrimination", {"pairs": ((18, 10), (20, 20))}, r"pairs holds \(20.0, 20.0\)"),
        ("delayed_discrimination", {"response_weight": 0}, "greater than 0"),
        ("delayed_discrimination", {"delay": 0}, "greater than or equal to 1"),
        ("match_to_sample", {"samples": 1}, "greater than or equal to 2"),
        ("path_integration", {"steps": 5, "cue": 5}, "cue is 5, and a trial has 5 steps; expected fewer"),
        ("path_integration", {"momentum": 1.0}, "less than 1"),
        ("delayed_cue", {"jitter": 1}, "Extra inputs"),
    ],
)
def test_nonsense_is_refused_and_named(kind: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TypeAdapter(AnyTask).validate_python({"kind": kind} | settings)


@pytest.mark.parametrize(("task", "setting"), [(MemoryAngle(), "probe_angles"), (PathIntegration(), "probe_headings")])
def test_comparison_settings_change_the_probe_and_no_trial(task: Task, setting: str) -> None:
    assert task.comparison_settings == {setting}
    other = task.model_copy(update={setting: 5})
    for part, same in zip(
        *(jax.tree.leaves(trials(each, jax.random.key(6), 4)) for each in (task, other)), strict=True
    ):
        np.testing.assert_array_equal(part, same)
    assert len(other.probe().inputs) == len(other.probe_conditions()) == 5 * (3 if setting == "probe_headings" else 1)


# ---------------------------------------------------------------- periods, fixation, weights


FIXATION_TASKS = [
    TASKS[kind](**settings)
    for kind in ("delayed_discrimination", "perceptual_decision", "match_to_sample", "memory_angle")
    for settings in ({}, VARIED[kind], {"fixation_weight": 0})
]


@pytest.mark.parametrize("task", FIXATION_TASKS, ids=lambda task: task.kind)
def test_the_fixation_cue_the_weights_and_the_stimuli_follow_the_periods(task: Any) -> None:
    inputs, targets, weights = draw(task, 200)
    lengths = set()
    for trial_inputs, trial_targets, trial_weights in zip(inputs, targets, weights, strict=True):
        cue_off = int(np.flatnonzero(trial_inputs[:, 0] == 0)[0])
        names = periods_of(task, cue_off)
        lengths.add(names.count("delay"))
        since = 0
        for step, name in enumerate(names):
            since += name == "response"
            assert trial_inputs[step, 0] == (name != "response")
            if name == "response":
                expected = 0.0 if since <= task.grace else task.response_weight
            else:
                expected = task.fixation_weight
            assert (trial_weights[step] == expected).all()
            if name in ("fixation", "delay", "response"):
                assert (trial_inputs[step, 1:] == 0).all()
            choice = trial_targets[step, 1:] if task.kind == "perceptual_decision" else trial_targets[step]
            assert choice.any() == (name == "response")
    jitter = getattr(task, "jitter", 0)
    assert lengths == set(range(task.delay, task.delay + jitter + 1))


@pytest.mark.parametrize("later", [0, 2, 6])
def test_the_periods_follow_each_other_and_only_the_delay_is_longer(later: int) -> None:
    task: Any = TASKS["delayed_discrimination"](**VARIED["delayed_discrimination"])
    seen = {period: np.flatnonzero(task.within(period, later)).tolist() for period in task.periods}
    assert [step for steps in seen.values() for step in steps] == list(range(task.steps))
    lengths = {period: len(steps) for period, steps in seen.items()}
    assert lengths == {"fixation": 2, "first": 3, "delay": 4 + later, "second": 3, "response": 5 + 6 - later}


def test_the_delays_are_uniform() -> None:
    task = MemoryAngle(**VARIED["memory_angle"])
    inputs, *_ = draw(task)
    delays = (inputs[:, :, 0] == 1).sum(axis=1)
    for delay in range(6, 12):
        assert_share(delays == delay, 1 / 6)


@pytest.mark.parametrize("task", [task for task in FIXATION_TASKS if "jitter" in type(task).model_fields])
def test_the_condition_is_the_input_of_the_delay(task: Any) -> None:
    inputs, *_ = draw(task, 5)
    [last] = {"first", "sample", "cue"} & task.periods.keys()  # the period before the delay
    before = sum(
        getattr(task, setting) for setting in list(task.periods.values())[: list(task.periods).index(last) + 1]
    )
    assert task.condition_names() == ("delay",)
    for step in range(before, before + task.delay):
        np.testing.assert_array_equal(task.conditions(), inputs[:1, step])
