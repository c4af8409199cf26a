"""Where measures of activity are wrong: the examples of docs/comparing.md, and the laws that hold nevertheless."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynatlas import distance, distance_matrix
from dynatlas.measures.registry import MEASURES
from support.activities import networks, rotation

RANDOM = np.random.default_rng(0)


def driven(gain, slowness, seed):
    """Two units with x(t + 1) = gain · x(t) + u(t), and noise u with correlation ``slowness`` from step to step."""
    random = np.random.default_rng(seed)
    state, inputs, states = np.zeros((64, 2)), np.zeros((64, 2)), []
    for _ in range(120):
        inputs = slowness * inputs + np.sqrt(1 - slowness**2) * random.normal(size=(64, 2))
        state = gain * state + inputs
        states.append(state)
    return np.stack(states[20:], axis=1)


def test_dsa_takes_slow_inputs_for_slow_dynamics():
    one, slower_inputs, slower_network = driven(0.5, 0, 1), driven(0.5, 0.95, 2), driven(0.8, 0, 3)
    assert distance(one, slower_inputs, "dsa") == pytest.approx(0.48, abs=0.01)
    assert distance(one, slower_network, "dsa") == pytest.approx(0.30, abs=0.01)


def test_soft_matching_takes_a_rotation_for_a_difference():
    latent = RANDOM.normal(size=(500, 5)) @ RANDOM.normal(size=(5, 20))
    turned = latent @ rotation(20, 0)
    assert distance(latent, turned, "soft_matching") > 0.7
    assert distance(latent, turned, "procrustes") < 1e-7


@given(st.lists(st.integers(1, 6), min_size=3, max_size=3), st.integers(0, 10_000))
@settings(max_examples=40)
def test_soft_matching_satisfies_the_triangle_inequality(widths, seed):
    random = np.random.default_rng(seed)
    activities = [random.normal(size=(12, width)) for width in widths]
    d = distance_matrix(activities, "soft_matching").values
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        assert d[i, j] <= d[i, k] + d[k, j] + 1e-9
    assert d.max() <= 2


def test_soft_matching_worked_by_hand():
    # Unit vectors at 0, 90 degrees, of equal size; the second network has one of them, and its opposite.
    axes = np.array([[1.0, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]]).T / 2
    assert distance(axes[:, :2], axes[:, :1], "soft_matching") == pytest.approx(1)  # √((0 + 2) / 2)
    both = np.stack([axes[:, 0], -axes[:, 0]], axis=1)
    assert distance(axes[:, :2], both, "soft_matching") == pytest.approx(1)  # √((0 + 2) / 2)
    assert distance(axes[:, :2], axes, "soft_matching") == pytest.approx(np.sqrt(2 / 3))  # a third of the mass moves


def test_predictivity_is_that_of_the_strongest_component():
    random = np.random.default_rng(0)
    shared = random.normal(size=(2000, 1))

    def network(seed):
        own = np.random.default_rng(seed)
        parts = shared @ own.normal(size=(1, 20)), own.normal(size=(2000, 3)) @ own.normal(size=(3, 20))
        return sum(part * np.sqrt(share / (part**2).sum()) for part, share in zip(parts, (0.9, 0.1), strict=True))

    X, Y = network(1), network(2)
    assert distance(X, Y, "predictivity") == pytest.approx(0.10, abs=0.02)
    assert distance(X, Y, "svcca") > 0.4


def test_predictivity_of_independent_noise_is_none():
    X, Y = np.random.default_rng(0).normal(size=(2, 2000, 10))
    assert distance(X, Y, "predictivity") == pytest.approx(1, abs=0.02)
    # In-sample measures take many units for likeness; it does not.
    X, Y = np.random.default_rng(0).normal(size=(2, 100, 60))
    assert distance(X, Y, "predictivity") > 0.9
    assert distance(X, Y, "cka") < 0.75


def test_a_narrow_kernel_makes_all_networks_alike():
    X, Y = np.random.default_rng(0).normal(size=(2, 500, 20))
    assert distance(X, Y, "rbf_cka", bandwidth=0.1) < 1e-6
    assert distance(X, Y, "rbf_cka") > 0.85
    # A wide one is linear.
    X, Y = networks(8, 11)
    assert distance(X, Y, "rbf_cka", bandwidth=1000) == pytest.approx(distance(X, Y, "cka"), abs=1e-5)


def test_whitening_lets_noise_count_as_much_as_signal():
    signal = RANDOM.normal(size=(500, 5)) @ RANDOM.normal(size=(5, 20))
    noisy = [signal + 0.05 * noise for noise in np.random.default_rng(1).normal(size=(2, 500, 20))]
    found = [distance(*noisy, "procrustes", alpha=alpha) for alpha in (1, 0.5, 0)]
    assert found[0] < 0.05
    assert found[1] > 0.9
    assert found == sorted(found)
    assert distance(*noisy, "procrustes") == pytest.approx(found[0], abs=1e-9)


def test_full_whitening_is_cca():
    X, Y = networks(8, 11)
    assert distance(X, Y, "procrustes", alpha=0) == pytest.approx(
        np.arccos(1 - distance(X, Y, "cca", regularization=0)), abs=1e-9
    )
    mapped = X @ np.random.default_rng(0).normal(size=(8, 8))
    assert distance(mapped, X, "procrustes", alpha=0) < 1e-7


@pytest.mark.parametrize(
    ("measure", "X", "message"),
    [
        ("rbf_cka", np.repeat([[0.0], [1.0]], [9, 3], axis=0), "network X: half of the samples or more are equal"),
        ("rbf_cka", np.random.default_rng(0).normal(size=(4001, 1)), "4001 samples are too many; give samples="),
        ("predictivity", np.append(np.zeros(16), range(4))[:, None][::-1], "network X: activity is constant over the"),
        (
            "predictivity",
            np.arange(9.0)[:, None],
            "held_out=0.2 and folds=5 of 9 samples leave parts of less than 2",
        ),
    ],
)
def test_what_cannot_be_computed_is_said(measure, X, message):
    with pytest.raises(ValueError, match=message):
        distance(X, X + 0, measure)


def test_input_dsa_does_not_take_slow_inputs_for_slow_dynamics():
    def with_inputs(gain, slowness, seed):
        activity = driven(gain, slowness, seed)
        return activity[:, 1:], activity[:, 1:] - gain * activity[:, :-1]

    measure = MEASURES["input_dsa"]()
    one, slower_inputs, slower_network = (
        measure.reduce(*with_inputs(*case)) for case in ((0.5, 0, 1), (0.5, 0.95, 2), (0.8, 0, 3))
    )
    assert measure.between(one, slower_inputs) < 1e-6
    assert measure.between(one, slower_network) == pytest.approx(0.3, abs=1e-6)


def test_input_dsa_does_not_see_how_inputs_are_taken_up():
    random = np.random.default_rng(0)
    inputs, starts = random.normal(size=(20, 30, 3)), random.normal(size=(20, 4))
    networks_ = []
    for seed in (1, 2):
        weights, state, states = np.random.default_rng(seed).normal(size=(3, 4)), starts, []
        for now in range(30):
            state = state @ (0.8 * rotation(4, 0)) + inputs[:, now] @ weights
            states.append(state)
        networks_.append(np.stack(states, axis=1))
    assert distance(*networks_, "input_dsa", inputs=inputs) < 1e-6
    assert distance(*networks_, "dsa") > 0.01
