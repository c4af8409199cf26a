"""Each task with periods, and path integration: random trials and probes against loops that walk through them."""

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from dynatlas.tasks import (
    ContextDecision,
    DelayedCue,
    DelayedDiscrimination,
    MatchToSample,
    MemoryAngle,
    PathIntegration,
    PerceptualDecision,
)
from support.trials import assert_noise, assert_share, draw, periods_of

pytestmark = pytest.mark.usefixtures("quick_compilation")

# ---------------------------------------------------------------- delayed discrimination


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_the_answer_is_the_sign_of_the_difference(noise: float) -> None:
    task = DelayedDiscrimination(noise=noise, pairs=((18, 10), (20, 30)), stimulus=200, jitter=3)
    inputs, targets, _ = draw(task)
    # 10 is encoded as 1/2 and 30 as 1, linearly in between.
    encoded = {10: 0.5, 18: 0.7, 20: 0.75, 30: 1.0}
    seen = []
    for trial_inputs, trial_targets in zip(inputs, targets, strict=True):
        names = np.array(periods_of(task, int(np.flatnonzero(trial_inputs[:, 0] == 0)[0])))
        pair = []
        for name in ("first", "second"):
            mean = trial_inputs[names == name, 1].mean()
            frequency = min(encoded, key=lambda value: abs(encoded[value] - mean))
            assert mean == pytest.approx(encoded[frequency], abs=1e-6 + 5 * noise / math.sqrt(200))
            pair.append(frequency)
        seen.append(tuple(pair))
        assert (trial_targets[names == "response"] == (1 if pair[0] > pair[1] else -1)).all()
    for pair in ((18, 10), (10, 18), (20, 30), (30, 20)):
        assert_share(np.array([other == pair for other in seen]), 0.25)
    if noise:
        start = task.fixation
        one = inputs[:, start : start + 200, 1]
        assert_noise((one - one.mean(axis=1, keepdims=True)) * math.sqrt(200 / 199), noise)


def test_the_probe_of_delayed_discrimination_is_each_pair_in_each_order() -> None:
    task = DelayedDiscrimination(jitter=3)
    inputs, targets = (np.asarray(part) for part in task.probe())
    first, second = inputs[:, 5, 1], inputs[:, 30, 1]
    expected = [(18, 10), (22, 14), (26, 18), (30, 22), (34, 26)]
    expected += [(second, first) for first, second in expected]
    np.testing.assert_allclose(np.stack([first, second], axis=1), [[(f + 14) / 48, (g + 14) / 48] for f, g in expected])
    np.testing.assert_array_equal(targets[:, -1, 0], [np.sign(f - g) for f, g in expected])
    assert (targets[:, 35] != 0).all(), "the shortest delay"


# ---------------------------------------------------------------- perceptual decision


def test_evidence_is_about_half_plus_and_minus_half_the_coherence() -> None:
    task = PerceptualDecision(coherences=(0.1, 0.6), stimulus=50, noise=0.2)
    inputs, targets, _ = draw(task)
    choices = targets[:, -1, 1]
    assert set(np.unique(choices)) == {-1.0, 1.0}
    assert_share(choices == 1, 0.5)
    evidence = inputs[:, 5:55, 1:]
    coherences = evidence[:, :, 0].mean(axis=1) - evidence[:, :, 1].mean(axis=1)
    strong = np.abs(coherences) > 0.35  # 0.6 and 0.1 are 6 standard errors of 0.04 away
    assert_share(strong, 0.5)
    assert (np.sign(coherences[strong]) == choices[strong]).all()
    c = np.where(strong, 0.6, 0.1) * choices
    assert_noise(evidence[:, :, 0] - (1 + c[:, None]) / 2, 0.2)
    assert_noise(evidence[:, :, 1] - (1 - c[:, None]) / 2, 0.2)
    np.testing.assert_array_equal(targets[:, :, 0], inputs[:, :, 0])


def test_the_conditions_of_a_decision_are_the_signed_coherences() -> None:
    task = PerceptualDecision(coherences=(0.5, 0.2))
    signed = [-0.5, -0.2, 0.2, 0.5]
    np.testing.assert_allclose(task.conditions(), [[1, (1 + c) / 2, (1 - c) / 2] for c in signed], rtol=1e-6)
    assert task.condition_names() == tuple(f"coherence {c:g}".replace("-", "−") for c in signed)
    inputs, targets = task.probe()
    np.testing.assert_array_equal(inputs[:, 5], task.conditions())
    np.testing.assert_array_equal(targets[:, -1, 1], np.sign(signed))


def test_the_error_of_an_observer_that_adds_up_all_evidence_is_as_stated() -> None:
    """The sum of the differences is N(nc, 2nσ²); its posterior mean over ±c is the best answer in squares."""
    task = PerceptualDecision()
    n, c, random = task.stimulus, np.array(task.coherences), np.random.default_rng(0)
    drawn = random.choice(c, 100_000) * random.choice([-1, 1], 100_000)
    difference = random.normal(n * drawn, math.sqrt(2 * n) * task.noise)
    plus, minus = (
        np.exp(-((difference[:, None] - sign * n * c) ** 2) / (4 * n * task.noise**2)).sum(axis=1) for sign in (1, -1)
    )
    answer = (plus - minus) / (plus + minus)
    assert (np.sign(answer) != np.sign(drawn)).mean() == pytest.approx(0.04, abs=0.005)
    _, targets, weights = draw(task)
    mean = (weights * targets).sum() / weights.sum()
    variance = (weights * (targets - mean) ** 2).sum() / weights.sum()
    share = weights[0, 27:, 1].sum() / weights[0].sum()  # of the choice, among all weights
    r2 = 1 - share * float(((answer - np.sign(drawn)) ** 2).mean()) / variance
    assert r2 == pytest.approx(0.93, abs=0.005)
    assert task.threshold[1] < r2


# ---------------------------------------------------------------- delayed match to sample


@pytest.mark.parametrize("samples", [2, 3])
def test_half_of_the_tests_match_and_the_others_are_any_other_sample(samples: int) -> None:
    task = MatchToSample(samples=samples, stimulus=20, noise=0.3, jitter=2)
    inputs, targets, _ = draw(task)
    shown, answers, noise = [], [], []
    for trial_inputs, trial_targets in zip(inputs, targets, strict=True):
        names = np.array(periods_of(task, int(np.flatnonzero(trial_inputs[:, 0] == 0)[0])))
        sample, test = (int(trial_inputs[names == name, 1:].mean(axis=0).argmax()) for name in ("sample", "test"))
        shown.append((sample, test))
        answers.append(trial_targets[-1, 0])
        noise += [trial_inputs[names == "sample", 1:] - np.eye(samples)[sample]]
        noise += [trial_inputs[names == "test", 1:] - np.eye(samples)[test]]
        assert trial_targets[-1, 0] == (1 if sample == test else -1)
    assert_share(np.array(answers) == 1, 0.5)
    for pair in np.ndindex(samples, samples):
        share = 0.5 / samples if pair[0] == pair[1] else 0.5 / (samples * (samples - 1))
        assert_share(np.array([other == pair for other in shown]), share)
    assert_noise(np.array(noise), 0.3)


# ---------------------------------------------------------------- memory-guided angle


def test_the_angle_is_uniform_and_reported_after_the_delay() -> None:
    task = MemoryAngle(noise=0.2, cue=50, jitter=3)
    inputs, targets, _ = draw(task)
    angles = np.arctan2(targets[:, -1, 1], targets[:, -1, 0])
    assert stats.kstest(angles, stats.uniform(-np.pi, 2 * np.pi).cdf).pvalue > 1e-3
    direction = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    np.testing.assert_allclose(targets[:, -task.response :], np.repeat(direction[:, None], 10, axis=1), atol=1e-6)
    assert_noise(inputs[:, 5:55, 1:] - direction[:, None], 0.2)


def test_the_probe_angles_lie_on_an_even_grid() -> None:
    inputs, targets = (np.asarray(part) for part in MemoryAngle(probe_angles=7).probe())
    angles = np.array([-math.pi + 2 * math.pi * number / 7 for number in range(7)])
    direction = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    np.testing.assert_allclose(inputs[:, 5, 1:], direction, atol=1e-6)
    np.testing.assert_allclose(targets[:, -1], direction, atol=1e-6)


# ---------------------------------------------------------------- delayed cue


@pytest.mark.parametrize(
    "task", [DelayedCue(), DelayedCue(cues=3, cue=2, delay=5, response=3, after=4, noise=0.2), DelayedCue(delay=0)]
)
def test_the_cue_is_reported_during_the_response_alone(task: DelayedCue) -> None:
    inputs, targets, weights = draw(task)
    cues = inputs[:, : task.cue].mean(axis=1).argmax(axis=1)
    for cue in range(task.cues):
        assert_share(cues == cue, 1 / task.cues)
    begin = task.cue + task.delay
    expected = np.zeros((task.steps, task.cues))
    rest = task.steps - begin
    for trial, cue in enumerate(cues):
        for step in range(task.steps):
            expected[step] = 0
            if begin <= step < begin + task.response:
                expected[step, cue] = 1
        np.testing.assert_array_equal(targets[trial], expected)
    noise = inputs[:, : task.cue] - np.eye(task.cues)[cues][:, None]
    if task.noise:
        assert_noise(noise, task.noise)
    else:
        assert not noise.any()
    assert not inputs[:, task.cue :].any()
    # As in the authors' code: R/T before the response, 1 − R/T from its first step on.
    np.testing.assert_allclose(weights[:, :begin], rest / task.steps, rtol=1e-6)
    np.testing.assert_allclose(weights[:, begin:], 1 - rest / task.steps, rtol=1e-6)


@pytest.mark.parametrize(
    "task", [ContextDecision(), ContextDecision(fixation=2, stimulus=3, response=4, coherences=(0.1, 0.8), noise=0.3)]
)
def test_the_direction_of_the_cued_stimulus_is_reported_whatever_the_other_shows(task: ContextDecision) -> None:
    inputs, targets, weights = draw(task)
    contexts = inputs[:, 0, :2].argmax(axis=1)
    assert_share(contexts == 0, 0.5)
    np.testing.assert_array_equal(inputs[:, :, :2], np.repeat(np.eye(2)[contexts][:, None], task.steps, axis=1))
    assert not inputs[:, : task.fixation, 2:].any()
    shown = inputs[:, task.fixation :, 2:].reshape(len(inputs), -1, 2, 2)  # [trial, step, stimulus, direction]
    signed = np.sort([*task.coherences, *(-coherence for coherence in task.coherences)])
    means = (shown[..., 0] - shown[..., 1]).mean(axis=1)
    begin = task.fixation + task.stimulus
    assert not targets[:, :begin].any()
    right = targets[:, begin:, 0]
    np.testing.assert_array_equal(right + targets[:, begin:, 1], 1)
    np.testing.assert_array_equal(right, np.repeat(right[:, :1], task.response, axis=1))
    if task.noise:
        steps = shown.shape[1]
        errors = (shown - shown.mean(axis=1, keepdims=True)) * np.sqrt(steps / (steps - 1))
        assert errors.std() == pytest.approx(task.noise, rel=0.02)
    else:
        # Without noise the coherences are read off, and each is as frequent as any other.
        seen = np.abs(means[..., None] - signed).argmin(axis=-1)
        np.testing.assert_allclose(means, signed[seen], atol=1e-6)
        for place in range(len(signed)):
            assert_share(seen == place, 1 / len(signed))
        np.testing.assert_allclose(shown.sum(axis=-1), 1, rtol=1e-6)
        cued = np.take_along_axis(means, contexts[:, None], axis=1)[:, 0]
        other = np.take_along_axis(means, 1 - contexts[:, None], axis=1)[:, 0]
        np.testing.assert_array_equal(right[:, 0] == 1, cued > 0)
        assert_share((right[:, 0] == 1) == (other > 0), 0.5)
    expected = np.ones((task.steps, 2))
    expected[task.fixation : begin] = 0
    np.testing.assert_array_equal(weights, np.broadcast_to(expected, weights.shape))


def test_the_probe_of_a_context_decision_has_every_pair_of_coherences_in_each_context() -> None:
    task = ContextDecision(coherences=(0.25, 0.5))
    late = np.asarray(task.probe().inputs[:, -1])
    assert len({tuple(row) for row in late.tolist()}) == len(late) == 2 * 4 * 4
    np.testing.assert_array_equal(late[:, :2].argmax(axis=1), task.probe_conditions())
    np.testing.assert_array_equal(task.conditions()[:, 2:], 0.5)


# ---------------------------------------------------------------- path integration


FAST = {"steps": 30, "cue": 4, "speed": 0.3, "momentum": 0.5}


@pytest.mark.parametrize("settings", [{}, FAST])
def test_the_heading_is_the_first_one_plus_all_velocities(settings: dict[str, Any]) -> None:
    task = PathIntegration(**settings)
    inputs, targets, _ = draw(task, 100)
    for trial_inputs, trial_targets in zip(inputs, targets, strict=True):
        heading = math.atan2(trial_inputs[0, 1], trial_inputs[0, 0])
        for step in range(task.steps):
            if step < task.cue:
                assert trial_inputs[step, 2] == 0
                np.testing.assert_array_equal(trial_inputs[step, :2], trial_inputs[0, :2])
            else:
                assert not trial_inputs[step, :2].any()
            heading += trial_inputs[step, 2]
            np.testing.assert_allclose(trial_targets[step], [math.cos(heading), math.sin(heading)], atol=2e-5)


@pytest.mark.parametrize("settings", [{}, FAST])
def test_the_velocity_is_stationary_with_its_momentum(settings: dict[str, Any]) -> None:
    task = PathIntegration(**settings)
    inputs, *_ = draw(task)
    velocity = inputs[:, task.cue :, 2]
    for step in (0, 1, -1):  # independent between trials, and as spread at the first step as at the last
        assert_noise(velocity[:, step], task.speed)
    fresh = (velocity[:, 1:] - task.momentum * velocity[:, :-1]) / math.sqrt(1 - task.momentum**2)
    assert_noise(fresh, task.speed)
    assert abs(np.corrcoef(fresh[:, 1:].ravel(), velocity[:, :-2].ravel())[0, 1]) < 5 / math.sqrt(fresh[:, 1:].size)
    headings = np.arctan2(inputs[:, 0, 1], inputs[:, 0, 0])
    assert stats.kstest(headings, stats.uniform(-np.pi, 2 * np.pi).cdf).pvalue > 1e-3


def test_the_path_integration_probe_turns_every_heading_both_ways_and_not_at_all() -> None:
    task = PathIntegration(probe_headings=4, steps=11, speed=0.2)
    _, targets = (np.asarray(part) for part in task.probe())
    turned = np.arctan2(targets[:, -1, 1], targets[:, -1, 0])
    expected = [-math.pi + math.pi / 2 * heading + 10 * velocity for velocity in (-0.2, 0, 0.2) for heading in range(4)]
    np.testing.assert_allclose(np.exp(1j * turned), np.exp(1j * np.array(expected)), atol=1e-5)
    assert task.conditions().tolist() == [[0, 0, 0]]
