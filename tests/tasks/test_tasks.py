"""The tasks' trials, targets, probes and conditions, and the settings that are refused."""

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError
from scipy import stats

from dynatlas.tasks.context_integration import ContextIntegration
from dynatlas.tasks.flip_flop import FlipFlop
from dynatlas.tasks.registry import TASKS, AnyTask
from dynatlas.tasks.sine_wave import SineWave
from dynatlas.tasks.task import Task, Trial

pytestmark = pytest.mark.usefixtures("quick_compilation")
every_task = pytest.mark.parametrize("kind", ["flip_flop", "sine_wave", "context_integration"])


# Compiled once for all tests.
@partial(jax.jit, static_argnums=(0, 2))
def trials(task: Task, key: jax.Array, count: int) -> Trial:
    return task.trials(key, count)


@partial(jax.jit, static_argnums=0)
def single_trial(task: Task, key: jax.Array) -> Trial:
    return task.trial(key)


def draw(task: Task, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and targets of ``count`` random trials, in float64 for what follows."""
    trial = trials(task, jax.random.key(0), count)
    return np.asarray(trial.inputs, np.float64), np.asarray(trial.targets, np.float64)


def assert_share(hits: np.ndarray, expected: float) -> None:
    """Independent yes-or-no draws: their share is within five standard errors of ``expected``."""
    standard_error = math.sqrt(expected * (1 - expected) / hits.size)
    assert hits.mean() == pytest.approx(expected, abs=5 * standard_error)


# ---------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("flip_flop", {"steps": 100, "channels": 3, "pulse_probability": 0.05}),
        ("sine_wave", {"dt": 0.01, "steps": 500, "slope": 0.04, "offset": 0.01, "commands": 51}),
        ("context_integration", {"steps": 30, "streams": 2, "probe_levels": 20}),
    ],
)
def test_defaults_are_the_papers(kind: str, settings: dict[str, Any]) -> None:
    task = TASKS[kind]()
    assert {name: getattr(task, name) for name in settings} == settings


@pytest.mark.parametrize(
    ("task", "n_inputs", "n_outputs"),
    [
        (FlipFlop(), 3, 3),
        (FlipFlop(channels=2), 2, 2),
        (SineWave(), 1, 1),
        (ContextIntegration(), 4, 1),
        (ContextIntegration(streams=3), 6, 1),
    ],
)
def test_channel_counts_are_those_of_the_trials_probe_and_conditions(task: Task, n_inputs: int, n_outputs: int) -> None:
    assert (task.n_inputs, task.n_outputs) == (n_inputs, n_outputs)
    inputs, targets = jax.eval_shape(task.trial, jax.random.key(0))
    assert inputs.shape == (task.steps, n_inputs)
    assert targets.shape == (task.steps, n_outputs)
    probe_inputs, probe_targets = jax.eval_shape(task.probe)
    assert probe_inputs.shape[1:] == inputs.shape
    assert probe_targets.shape == (probe_inputs.shape[0], *targets.shape)
    assert task.conditions().shape == (len(task.condition_names()), n_inputs)


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("flip_flop", "steps", 1),
        ("flip_flop", "channels", 0),
        ("flip_flop", "channels", 17),
        ("flip_flop", "pulse_probability", 0),
        ("flip_flop", "pulse_probability", -0.1),
        ("flip_flop", "pulse_probability", 1.5),
        ("flip_flop", "pulse_probability", math.nan),
        ("flip_flop", "probe_trials", 0),
        ("flip_flop", "commands", 51),
        ("sine_wave", "steps", 1),
        ("sine_wave", "slope", -0.01),
        ("sine_wave", "slope", math.nan),
        ("sine_wave", "offset", 0),
        ("sine_wave", "offset", math.inf),
        ("sine_wave", "commands", 1),
        ("sine_wave", "dt", 0.0),
        ("sine_wave", "dt", 0.1),
        ("sine_wave", "dt", 1e-5),
        ("sine_wave", "dt", math.nan),
        ("sine_wave", "dt", "fast"),
        ("sine_wave", "frequency", 0.1),
        ("context_integration", "steps", 1),
        ("context_integration", "steps", 30.5),
        ("context_integration", "streams", 0),
        ("context_integration", "probe_levels", 1),
        ("context_integration", "stream", 2),
    ],
)
def test_nonsense_is_refused_and_named(kind: str, field: str, value: float) -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(AnyTask).validate_python({"kind": kind, field: value})
    (error,) = caught.value.errors()
    assert error["loc"][-1] == field
    assert error["input"] is value


@pytest.mark.parametrize(("slope", "offset"), [(0.4, 0.2), (0.5, 0.01), (0.01, 0.5)])
def test_a_sine_above_half_a_cycle_per_step_is_refused(slope: float, offset: float) -> None:
    with pytest.raises(ValidationError, match=r"slope \+ offset is 0\.[56]"):
        SineWave(slope=slope, offset=offset)


def test_a_sine_below_half_a_cycle_per_step_is_accepted_where_each_setting_is() -> None:
    assert float(SineWave(slope=0.3, offset=0.15).frequency(1.0)) == pytest.approx(0.45)


@pytest.mark.parametrize("setting", [{"steps": 125}, {"slope": 0.16}, {"offset": 0.04}])
def test_a_sine_with_dt_and_what_dt_stands_for_is_refused(setting: dict[str, float]) -> None:
    (name,) = setting
    with pytest.raises(ValidationError, match=f"dt is given, and {name} too; dt = 0.04 stands for steps = 125, slope"):
        SineWave(dt=0.04, **setting)


@every_task
def test_settings_are_frozen(kind: str) -> None:
    task = TASKS[kind]()
    with pytest.raises(ValidationError, match="frozen"):
        task.steps = 50


@every_task
def test_a_task_survives_its_own_dump_by_kind(kind: str) -> None:
    task = TASKS[kind](steps=17)
    again = TypeAdapter(AnyTask).validate_python(task.model_dump())
    assert type(again) is type(task)
    assert again == task
    assert again.kind == kind


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValidationError, match="flip_flop"):
        TypeAdapter(AnyTask).validate_python({"kind": "flipflop"})


@pytest.mark.parametrize(
    ("kind", "passing", "failing"),
    [
        ("flip_flop", {"mse": 0.0099, "r2": 0.0}, {"mse": 0.01, "r2": 1.0}),
        ("sine_wave", {"mse": 0.0199, "r2": 0.0}, {"mse": 0.02, "r2": 1.0}),
        ("context_integration", {"mse": 9.0, "r2": 0.9701}, {"mse": 0.0, "r2": 0.97}),
    ],
)
def test_passes_is_one_bound_on_one_measure_and_nan_never_does(
    kind: str, passing: dict[str, float], failing: dict[str, float]
) -> None:
    task = TASKS[kind]()
    assert task.passes(**passing) is True
    assert task.passes(**failing) is False
    assert task.passes(mse=math.nan, r2=math.nan) is False


# ---------------------------------------------------------------- what holds for every task


@every_task
def test_the_key_decides_the_trial(kind: str) -> None:
    task, keys = TASKS[kind](), jax.random.split(jax.random.key(1), 2)
    first, again, other = (single_trial(task, key) for key in (keys[0], keys[0], keys[1]))
    for part, same, different in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(part, same)
        assert not np.array_equal(part, different)


@every_task
def test_trials_are_all_different_and_those_of_the_split_keys(kind: str) -> None:
    task, key = TASKS[kind](), jax.random.key(2)
    stacked = trials(task, key, 32)
    inputs = np.asarray(stacked.inputs)
    assert len(np.unique(inputs.reshape(32, -1), axis=0)) == 32
    last = single_trial(task, jax.random.split(key, 32)[31])
    np.testing.assert_array_equal(stacked.inputs[31], last.inputs)
    np.testing.assert_allclose(stacked.targets[31], last.targets, rtol=1e-5, atol=1e-4)


@every_task
def test_trials_are_the_same_float32_numbers_under_x64(kind: str) -> None:
    task, key = TASKS[kind](), jax.random.key(4)
    narrow = trials(task, key, 32)
    with jax.enable_x64(True):
        wide = trials(task, key, 32)
        assert {part.dtype for part in single_trial(task, key)} == {jnp.dtype("float32")}
    for part, wide_part in zip(narrow, wide, strict=True):
        assert part.dtype == wide_part.dtype == jnp.float32
        np.testing.assert_allclose(part, wide_part, rtol=1e-5, atol=1e-4)


@every_task
def test_the_probe_and_the_conditions_are_always_the_same(kind: str) -> None:
    """On every call, whatever was drawn before, under another precision or another default generator."""
    task = TASKS[kind]()

    def fixed() -> list[jax.Array]:
        return [*task.probe(), task.conditions()]

    first = fixed()
    single_trial(task, jax.random.key(5))
    again = fixed()
    with jax.enable_x64(True):
        wide = fixed()
    with jax.default_prng_impl("rbg"):
        other_generator = fixed()
    for array, *others in zip(first, again, wide, other_generator, strict=True):
        for other in others:
            assert array.dtype == other.dtype == jnp.float32
            np.testing.assert_array_equal(array, other)


@pytest.mark.parametrize(
    ("task", "setting", "value"),
    [
        (FlipFlop(), "probe_trials", 5),
        (SineWave(), "commands", 7),
        (ContextIntegration(), "probe_levels", 3),
    ],
)
def test_comparison_settings_change_the_probe_and_no_trial(task: Task, setting: str, value: int) -> None:
    assert task.comparison_settings == {setting}
    other = task.model_copy(update={setting: value})
    for part, same in zip(*(single_trial(each, jax.random.key(6)) for each in (task, other)), strict=True):
        np.testing.assert_array_equal(part, same)
    assert jax.eval_shape(other.probe).inputs.shape[0] == value * (2 if setting == "probe_levels" else 1)


@pytest.mark.parametrize(
    "task",
    [FlipFlop(), SineWave(), SineWave(commands=200), ContextIntegration(), ContextIntegration(streams=16)],
)
def test_condition_names_are_distinct(task: Task) -> None:
    names = task.condition_names()
    assert len(set(names)) == len(names) == len(task.conditions()) == task.n_conditions


# ---------------------------------------------------------------- trials


def test_a_trial_unpacks_into_inputs_and_targets_with_or_without_weights() -> None:
    inputs, targets, weights = jnp.zeros((4, 3)), jnp.ones((4, 2)), jnp.full((4, 2), 2.0)
    for trial in (Trial(inputs, targets), Trial(inputs, targets, weights)):
        first, second = trial
        assert first is inputs
        assert second is targets
    assert Trial(inputs, targets).weights is None


def test_jax_maps_over_the_weights_of_trials_as_over_their_inputs() -> None:
    def one(scale: jax.Array) -> Trial:
        return Trial(jnp.full((4, 3), scale), jnp.ones((4, 2)), jnp.full((4, 2), 2 * scale))

    stacked = jax.jit(jax.vmap(one))(jnp.arange(5.0))
    np.testing.assert_array_equal(stacked.weights[:, 0, 0], 2 * np.arange(5))
    assert [leaf.shape for leaf in jax.tree.leaves(jax.eval_shape(one, 1.0))] == [(4, 3), (4, 2), (4, 2)]
    assert len(jax.tree.leaves(Trial(jnp.zeros((4, 3)), jnp.ones((4, 2))))) == 2


# ---------------------------------------------------------------- flip-flop


def held_pulses(inputs: np.ndarray) -> np.ndarray:
    """The last nonzero input of each channel, this step's included, by walking through the trial."""
    held, targets = [0.0] * inputs.shape[1], []
    for step in inputs:
        for channel, pulse in enumerate(step):
            if pulse != 0:
                held[channel] = float(pulse)
        targets.append(list(held))
    return np.array(targets)


@pytest.mark.parametrize(
    "task",
    [
        FlipFlop(),
        FlipFlop(channels=1, pulse_probability=0.5, steps=40),
        FlipFlop(channels=6, pulse_probability=1.0, steps=15),
        FlipFlop(channels=16, steps=30),
    ],
)
def test_the_flip_flop_target_is_the_last_pulse(task: FlipFlop) -> None:
    for inputs, targets in zip(*draw(task, 100), strict=True):
        np.testing.assert_array_equal(targets, held_pulses(inputs))
        assert set(np.unique(targets)) <= {-1.0, 1.0}


def test_a_hand_worked_flip_flop() -> None:
    from dynatlas.tasks.flip_flop import hold_last_pulse

    inputs = jnp.array([[0, 1], [-1, 0], [0, 0], [1, 1], [0, -1], [-1, 0]], jnp.float32)
    expected = [[0, 1], [-1, 1], [-1, 1], [1, 1], [1, -1], [-1, -1]]
    np.testing.assert_array_equal(hold_last_pulse(inputs), expected)


@pytest.mark.parametrize("probability", [0.05, 1.0])
def test_flip_flop_pulses_come_at_their_probability_with_a_fair_sign(probability: float) -> None:
    inputs, targets = draw(FlipFlop(pulse_probability=probability, channels=3), 2000)
    assert set(np.unique(inputs)) <= {-1.0, 0.0, 1.0}
    first, later = inputs[:, 0], inputs[:, 1:]
    assert (first != 0).all(), "every channel pulses at the first step"
    assert_share(first == 1, 0.5)
    for channel in range(3):
        pulses = later[..., channel] != 0
        if probability == 1:
            assert pulses.all()
        else:
            assert_share(pulses, probability)
        assert_share(later[..., channel][pulses] == 1, 0.5)
    # A sign independent of the value held: half of the later pulses repeat it.
    pulses = later != 0
    assert_share((later == targets[:, :-1])[pulses], 0.5)


def test_flip_flop_channels_pulse_independently() -> None:
    inputs, _ = draw(FlipFlop(pulse_probability=0.3, channels=2), 2000)
    one, other = inputs[:, 1:, 0], inputs[:, 1:, 1]
    assert_share((one != 0) & (other != 0), 0.09)
    both = (one != 0) & (other != 0)
    assert_share((one == other)[both], 0.5)
    assert_share((one[:, 1:] != 0) & (one[:, :-1] != 0), 0.09)


def test_the_flip_flop_probe_obeys_the_rules_of_its_trials() -> None:
    inputs, targets = (np.asarray(part) for part in FlipFlop(probe_trials=64).probe())
    assert len(inputs) == 64
    assert len(np.unique(inputs.reshape(64, -1), axis=0)) == 64
    for trial_inputs, trial_targets in zip(inputs, targets, strict=True):
        np.testing.assert_array_equal(trial_targets, held_pulses(trial_inputs))
    assert (inputs[:, 0] != 0).all()
    assert_share(inputs[:, 1:] != 0, 0.05)


@pytest.mark.parametrize(("channels", "fewest"), [(1, 2), (4, 16), (7, 128), (8, 256), (10, 700), (16, 2000)])
def test_the_probe_visits_every_memory_of_up_to_8_channels_and_many_of_more(channels: int, fewest: int) -> None:
    """64 trials of 100 steps hold about 5 pulses per channel each, half of which change the memory."""
    task = FlipFlop(channels=channels)
    _, targets = task.probe()
    assert len(np.unique(np.asarray(targets).reshape(-1, channels), axis=0)) >= fewest


def test_a_flip_flop_of_many_channels_has_no_transition_graph() -> None:
    assert FlipFlop(channels=6).topology == FlipFlop().topology
    assert FlipFlop().topology == ("transition_graph", "fused_transition_graph", "transition_structure", "spectrum")
    assert FlipFlop(channels=7).topology == ("spectrum",)


def test_the_flip_flop_has_one_condition_without_input() -> None:
    assert FlipFlop().conditions().tolist() == [[0.0, 0.0, 0.0]]
    assert FlipFlop(channels=2).conditions().tolist() == [[0.0, 0.0]]


# ---------------------------------------------------------------- sine wave


def sine_of(command: float, steps: int, slope: float = 0.04, offset: float = 0.01) -> np.ndarray:
    return np.array([math.sin(2 * math.pi * (slope * command + offset) * t) for t in range(steps)])


@pytest.mark.parametrize("settings", [{}, {"slope": 0.1, "offset": 0.02, "steps": 200}])
def test_the_sine_target_has_the_commanded_frequency_and_starts_at_phase_zero(
    settings: dict[str, float],
) -> None:
    task = SineWave(**settings)
    for inputs, targets in zip(*draw(task, 100), strict=True):
        command = inputs[0, 0]
        expected = sine_of(command, task.steps, task.slope, task.offset)
        # Float32 rounds a phase of up to 160 by 1e-5.
        np.testing.assert_allclose(targets[:, 0], expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("dt", [0.0003, 0.01, 0.02, 0.03, 0.04, 0.05, 0.07, 0.0999])
def test_a_sine_lasts_5_seconds_and_has_1_to_5_hertz_at_any_dt(dt: float) -> None:
    task = SineWave(dt=dt)
    assert task.steps * dt == pytest.approx(5, abs=dt / 2)
    assert [float(task.frequency(x)) / dt for x in (0.0, 0.5, 1.0)] == pytest.approx([1, 3, 5])


def test_a_sine_at_a_coarser_dt_is_the_same_wave_at_fewer_points() -> None:
    key = jax.random.key(3)
    fine, coarse = SineWave().trial(key), SineWave(dt=0.04).trial(key)
    np.testing.assert_array_equal(fine.inputs[::4], coarse.inputs)
    np.testing.assert_allclose(fine.targets[::4], coarse.targets, rtol=0, atol=1e-4)


@pytest.mark.parametrize("dt", [0.01, 0.02, 0.03, 0.04, 0.07])
def test_a_sine_with_dt_is_stored_as_the_settings_that_dt_stands_for(dt: float) -> None:
    task = SineWave(dt=dt, commands=11)
    stored = task.model_dump(mode="json")
    assert stored.keys() == {"kind", "steps", "slope", "offset", "commands"}
    assert SineWave(**stored) == task
    assert SineWave(**stored).dt == task.dt == dt


def test_a_sine_of_other_frequencies_has_no_dt_and_a_shorter_one_has() -> None:
    assert SineWave(slope=0.1).dt is None
    assert SineWave(steps=100).dt == 0.01
    assert SineWave(steps=100) != SineWave()


def test_the_sine_command_is_static_and_uniform() -> None:
    inputs, _ = draw(SineWave(steps=5), 5000)
    assert (inputs == inputs[:, :1]).all()
    assert stats.kstest(inputs[:, 0, 0], "uniform").pvalue > 1e-3


def test_the_sine_frequency_is_linear_in_the_command() -> None:
    assert [float(SineWave().frequency(x)) for x in (0.0, 0.25, 1.0)] == pytest.approx([0.01, 0.02, 0.05])


def test_the_sine_conditions_and_probe_are_the_grid_of_commands() -> None:
    task = SineWave()
    grid = np.array([command / 50 for command in range(51)])
    np.testing.assert_allclose(task.conditions(), grid[:, None], atol=1e-7)
    inputs, targets = task.probe()
    np.testing.assert_allclose(inputs, np.broadcast_to(grid[:, None, None], (51, 500, 1)), atol=1e-7)
    for command, target in zip(grid, targets, strict=True):
        np.testing.assert_allclose(target[:, 0], sine_of(command, 500), rtol=0, atol=1e-4)
    assert SineWave(commands=3).condition_names() == ("command 0", "command 0.5", "command 1")


# ---------------------------------------------------------------- context-dependent integration


@pytest.mark.parametrize("streams", [1, 2, 5])
def test_the_integral_is_the_running_sum_of_the_cued_stream(streams: int) -> None:
    inputs, targets = draw(ContextIntegration(streams=streams), 200)
    contexts = inputs[:, :, streams:]
    assert (contexts == contexts[:, :1]).all(), "the context is static"
    assert set(np.unique(contexts)) <= {0.0, 1.0}
    assert (contexts.sum(axis=2) == 1).all(), "exactly one stream is cued"
    for trial_inputs, trial_targets in zip(inputs, targets, strict=True):
        cued = int(np.flatnonzero(trial_inputs[0, streams:])[0])
        np.testing.assert_allclose(trial_targets[:, 0], np.cumsum(trial_inputs[:, cued]), rtol=1e-5, atol=1e-5)


def test_contexts_are_cued_equally_often_and_independently_of_the_evidence() -> None:
    inputs, _ = draw(ContextIntegration(steps=50), 4000)
    first_cued = inputs[:, 0, 2] == 1
    assert_share(first_cued, 0.5)
    means = inputs[:, :, :2].mean(axis=1)
    for stream in range(2):
        assert abs(np.corrcoef(first_cued, means[:, stream])[0, 1]) < 5 / math.sqrt(4000)


def test_streams_are_unit_noise_about_a_uniform_mean_of_their_own() -> None:
    steps, count = 200, 2500
    inputs, _ = draw(ContextIntegration(steps=steps), count)
    streams = inputs[:, :, :2]
    means = streams.mean(axis=1)
    root = math.sqrt(steps)

    def smeared_uniform(value: np.ndarray) -> np.ndarray:
        """The distribution function of U(−1, 1) plus the noise that is left in a mean, N(0, 1/steps)."""

        def integral(z: np.ndarray) -> np.ndarray:
            return z * stats.norm.cdf(z) + stats.norm.pdf(z)

        return (integral((value + 1) * root) - integral((value - 1) * root)) / (2 * root)

    for stream in range(2):
        assert stats.kstest(means[:, stream], smeared_uniform).pvalue > 1e-3
    # The two ends, for which the test above is blunt: a uniform variance of 1/3, with its fourth moment of 1/5.
    standard_error = math.sqrt((1 / 5 - 1 / 9) / means.size)
    assert means.var() == pytest.approx(1 / 3 + 1 / steps, abs=5 * standard_error)
    assert abs(np.corrcoef(means.T)[0, 1]) < 5 / math.sqrt(count)

    noise = (streams - means[:, None]) * math.sqrt(steps / (steps - 1))
    assert (noise**2).mean() == pytest.approx(1, abs=5 * math.sqrt(2 / noise.size))
    assert stats.kstest(noise.ravel(), "norm").pvalue > 1e-3
    assert abs(np.corrcoef(noise[..., 0].ravel(), noise[..., 1].ravel())[0, 1]) < 5 / math.sqrt(noise[..., 0].size)
    # A key used twice would tie the mean to the noise of some step.
    for stream in range(2):
        with_mean = np.corrcoef(means[:, stream], noise[..., stream].T)[0, 1:]
        assert np.abs(with_mean).max() < 5 / math.sqrt(count)
    # White about a mean that is fixed over the trial: taking the mean out leaves −1/steps between neighbours.
    neighbours = (noise[:, 1:] * noise[:, :-1]).mean()
    assert neighbours == pytest.approx(-1 / steps, abs=5 / math.sqrt(noise.size))


@pytest.mark.parametrize("streams", [2, 3])
def test_the_integration_probe_is_constant_evidence_in_each_context(streams: int) -> None:
    inputs, targets = (np.asarray(part) for part in ContextIntegration(streams=streams).probe())
    assert len(inputs) == 20 * streams
    levels = [-1 + 2 * level / 19 for level in range(20)]
    trial = 0
    for context in range(streams):
        for level in levels:
            expected = np.zeros(2 * streams)
            expected[context], expected[streams + context] = level, 1
            np.testing.assert_allclose(inputs[trial], np.tile(expected, (30, 1)), rtol=0, atol=1e-6)
            # The other streams and contexts are silent to the last digit.
            assert np.array_equal(inputs[trial] == 0, np.tile(expected == 0, (30, 1)))
            np.testing.assert_allclose(targets[trial, :, 0], level * np.arange(1, 31), rtol=1e-5)
            trial += 1


def test_the_integration_conditions_are_the_contexts_with_silent_streams() -> None:
    assert ContextIntegration().conditions().tolist() == [[0, 0, 1, 0], [0, 0, 0, 1]]
    expected = [[0, 0, 0, 1, 0, 0], [0, 0, 0, 0, 1, 0], [0, 0, 0, 0, 0, 1]]
    assert ContextIntegration(streams=3).conditions().tolist() == expected
    assert ContextIntegration().condition_names() == ("context 1", "context 2")
