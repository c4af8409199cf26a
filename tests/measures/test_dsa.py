"""Dynamical similarity analysis: closed forms, an independent computation, and what it sees that geometry does not."""

from itertools import permutations

import numpy as np
import ot
import pytest
import scipy.linalg
import scipy.optimize
from hypothesis import given, settings
from hypothesis import strategies as st

from dynatlas import distance, distance_matrix
from dynatlas.measures.activity import checked_trials
from dynatlas.measures.pairs import all_pairs
from dynatlas.measures.registry import measure_of
from dynatlas.measures.transport import transport_distance, transport_distances
from support.activities import rotation


def system(matrix, trials=12, times=20, noise=0.0, seed=0):
    """Trajectories of x(t + 1) = A x(t) from random starts [trials, times, units]."""
    random = np.random.default_rng(seed)
    states = [random.normal(size=(trials, len(matrix)))]
    for _ in range(times - 1):
        states.append(states[-1] @ np.transpose(matrix) + noise * random.normal(size=states[-1].shape))
    return np.stack(states, axis=1)


def turning(radius, angle):
    return radius * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def eigenvalues(activity, **options):
    measure = measure_of("dsa", options)
    kept = measure.reduce(checked_trials(activity, "one", "DSA", is_centred=measure.is_centred))
    return kept["real"] + 1j * kept["imaginary"]


def as_set(values):
    return np.sort_complex(np.round(values, 9))


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (np.diag([0.9, 0.5]), np.diag([0.8, 0.3]), np.sqrt((0.1**2 + 0.2**2) / 2)),
        # Each eigenvalue goes along the chord between two points of a circle.
        (turning(0.9, 0.3), turning(0.9, 0.5), 2 * 0.9 * np.sin(0.1)),
        (turning(0.9, 0.3), turning(0.7, 0.3), 0.2),
        # Halves on thirds: 1/6 of the mass moves from 0.2 to 0.5, and 1/6 from 0.8.
        (np.diag([0.8, 0.2]), np.diag([0.8, 0.5, 0.2]), np.sqrt(2 * 0.3**2 / 6)),
        # A pair of complex eigenvalues on two real ones.
        (turning(0.5, np.pi / 2), np.diag([0.5, -0.5]), np.sqrt(0.5)),
    ],
)
def test_linear_systems_worked_by_hand(first, second, expected):
    X, Y = system(first), system(second, seed=1)
    assert distance(X, Y, "dsa", lamb=0) == pytest.approx(expected, abs=1e-9)
    assert distance(X, Y, "dsa") == pytest.approx(expected, abs=1e-6)  # the ridge


def test_eigenvalues_of_linear_systems_are_found():
    matrix = scipy.linalg.block_diag(turning(0.95, 0.4), turning(0.6, 1.2), 0.3)
    skewed = np.linalg.solve(np.random.default_rng(5).normal(size=(5, 5)), np.eye(5))
    seen = system(matrix) @ skewed  # not orthogonal
    np.testing.assert_allclose(as_set(eigenvalues(seen, lamb=0)), as_set(np.linalg.eigvals(matrix)), atol=1e-8)
    # One unit sees the turning plane through its own past.
    one = system(turning(0.95, 0.4))[..., :1]
    found = eigenvalues(one, n_delays=2, delay_interval=3, lamb=0)
    np.testing.assert_allclose(as_set(found), as_set(0.95 * np.exp([0.4j, -0.4j])), atol=1e-8)


def havok(activity, n_delays=1, delay_interval=1, rank=None, reduced_rank_reg=False, lamb=1e-8, centered=False):
    """The eigenvalues as the package dsa-metric computes them, trial by trial, from the SVD of the Hankel matrix."""
    activity = activity - centered * activity.mean(axis=(0, 1))
    hankel = []
    for trial in activity:
        first = (n_delays - 1) * delay_interval
        rows = [
            np.concatenate([trial[t - d * delay_interval] for d in range(n_delays)]) for t in range(first, len(trial))
        ]
        hankel.append(np.array(rows))
    V = np.linalg.svd(np.concatenate(hankel), full_matrices=False)[0]
    V = V if reduced_rank_reg or rank is None else V[:, :rank]
    parts = np.split(V, len(activity))
    minus, plus = np.concatenate([part[:-1] for part in parts]), np.concatenate([part[1:] for part in parts])
    A = np.linalg.inv(minus.T @ minus + lamb * np.eye(V.shape[1])) @ minus.T @ plus
    if reduced_rank_reg and rank is not None:
        leading = np.linalg.svd(plus.T @ minus @ A)[0][:, :rank]
        A = A @ leading @ leading.T
    return np.linalg.eigvals(A)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"centered": True},
        {"lamb": 0.3},
        {"rank": 4},
        {"n_delays": 3, "delay_interval": 2},
        {"n_delays": 4, "rank": 7},
        {"n_delays": 2, "rank": 5, "reduced_rank_reg": True},
        {"n_delays": 2, "rank": 500, "reduced_rank_reg": True},
        {"reduced_rank_reg": True},
    ],
)
def test_agrees_with_an_independent_computation(options):
    random = np.random.default_rng(3)
    X, Y = (system(0.9 * rotation(units, units), noise=0.4, seed=units) + random.normal(size=units) for units in (6, 8))
    expected = [havok(activity, **options) for activity in (X, Y)]
    for activity, values in zip((X, Y), expected, strict=True):
        assert transport_distance(eigenvalues(activity, **options), values) < 1e-9
    assert distance(X, Y, "dsa", **options) == pytest.approx(transport_distance(*expected), abs=1e-9)
    assert distance(X, Y, "dsa", **options) > 0.01


def test_transport_agrees_with_scipy_and_pot():
    random = np.random.default_rng(0)
    spectra = [np.linalg.eigvals(random.normal(size=(n, n)) / np.sqrt(n)) for n in [64] * 8 + [20] * 6]
    spectra += [np.repeat(spectra[0][:16], 4), np.zeros(64, complex)]  # many equal costs
    pairs = [(first, second) for first in spectra for second in spectra]
    found = transport_distances(pairs)
    for (first, second), distance_ in zip(pairs, found, strict=True):
        costs = abs(first[:, None] - second) ** 2
        shares = np.full(len(first), 1 / len(first)), np.full(len(second), 1 / len(second))
        assert distance_**2 == pytest.approx(ot.emd2(*shares, costs), abs=1e-12)
        if len(first) == len(second):
            assert distance_**2 == pytest.approx(costs[scipy.optimize.linear_sum_assignment(costs)].mean(), abs=1e-12)
    assert found.tolist() == [transport_distance(*pair) for pair in pairs]
    assert found.tolist() == transport_distances([pair[::-1] for pair in pairs]).tolist()
    kept = [{"real": values.real, "imaginary": values.imag} for values in spectra * 3]
    matrix = all_pairs(kept, measure_of("dsa", {}), threads=1)
    np.testing.assert_array_equal(matrix, all_pairs(kept, measure_of("dsa", {}), threads=3))
    assert matrix[40, 3] == measure_of("dsa", {}).between(kept[3], kept[40])
    assert transport_distances([]).shape == (0,)


def test_transport_is_optimal():
    random = np.random.default_rng(0)
    for n, m in ((5, 5), (5, 3), (2, 4), (1, 6), (6, 6)):
        first, second = (random.normal(size=(size, 2)) @ [1, 1j] for size in (n, m))
        costs = abs(first[:, None] - second) ** 2
        rows, columns = np.kron(np.eye(n), np.ones(m)), np.kron(np.ones(n), np.eye(m))
        shares = np.append(np.full(n, 1 / n), np.full(m, 1 / m))
        solved = scipy.optimize.linprog(costs.ravel(), A_eq=np.vstack([rows, columns]), b_eq=shares)
        assert transport_distance(first, second) == pytest.approx(np.sqrt(solved.fun), abs=1e-9)
        if n == m:
            least = min(costs[range(n), order].mean() for order in permutations(range(n)))
            assert transport_distance(first, second) == pytest.approx(np.sqrt(least), abs=1e-12)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 10_000))
@settings(max_examples=60)
def test_spectra_of_real_matrices_may_be_folded(n, m, seed):
    random = np.random.default_rng(seed)
    spectra = [np.linalg.eigvals(random.normal(size=(size, size))).astype(complex) for size in (n, m)]
    kept = [{"real": values.real, "imaginary": values.imag} for values in spectra]
    assert measure_of("dsa", {}).between(*kept) == pytest.approx(transport_distance(*spectra), abs=1e-12)


@given(st.lists(st.integers(1, 6), min_size=3, max_size=3), st.integers(0, 10_000))
@settings(max_examples=60)
def test_transport_is_a_metric(sizes, seed):
    random = np.random.default_rng(seed)
    sets = [random.normal(size=(size, 2)) @ [1, 1j] for size in sizes]
    d = np.array([[transport_distance(first, second) for second in sets] for first in sets])
    np.testing.assert_allclose(d, d.T, atol=1e-12)
    np.testing.assert_allclose(np.diag(d), 0, atol=1e-12)
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        assert d[i, j] <= d[i, k] + d[k, j] + 1e-12


@pytest.mark.parametrize(
    "options", [{}, {"rank": 4}, {"n_delays": 3, "rank": 9}, {"rank": 4, "reduced_rank_reg": True}]
)
def test_what_it_does_not_see(options):
    X, Y = (system(0.9 * rotation(6, seed), noise=0.4, seed=seed) for seed in (1, 2))
    expected = distance(X, Y, "dsa", **options)
    assert expected > 0.01
    order = np.random.default_rng(0).permutation(len(X))
    copies = {
        "rotated": X @ rotation(6, 3),
        "scaled": 1e-3 * X,
        "reordered units": X[..., ::-1],
        "with silent units": np.concatenate([X, np.zeros((12, 20, 2))], axis=-1),
        "trials in another order": X[order],
    }
    for name, copy in copies.items():
        assert distance(X, copy, "dsa", **options) < 1e-7, name
        assert distance(copy, Y, "dsa", **options) == pytest.approx(expected, abs=1e-7), name
    # The trials may be others, in other numbers.
    assert distance(X, system(0.9 * rotation(6, 1), trials=30, times=15, seed=9, noise=0.4), "dsa") < distance(
        X, Y, "dsa"
    )
    matrix = distance_matrix([X, Y, copies["rotated"], Y[:5]], "dsa", **options)
    np.testing.assert_array_equal(matrix, matrix.T)
    np.testing.assert_array_equal(np.diag(matrix), 0)
    assert float(matrix[0, 1]) == pytest.approx(expected, abs=1e-12)


def test_shuffled_time_has_other_dynamics():
    X = system(turning(0.95, 0.4), times=40, noise=0.3)
    shuffled = X[:, np.random.default_rng(0).permutation(40)]
    assert distance(X, shuffled, "dsa") > 0.3


def test_no_step_leads_from_one_trial_to_the_next():
    # Within trials all decays at once; from one trial to the next it would grow.
    X = np.array([[1.0, 0.0], [0.0, 1.0], [2.0, 1.0]])[:, None] * np.array([1.0, 0.5])[:, None]
    np.testing.assert_allclose(eigenvalues(X, lamb=0), [0.5, 0.5], atol=1e-12)


def test_the_same_dynamics_in_another_geometry():
    matrix = scipy.linalg.block_diag(turning(0.97, 0.4), turning(0.8, 1.2))
    X = system(matrix, noise=0.3)
    stretched = X @ np.diag([30, 1, 1, 0.05]) @ rotation(4, 0)
    flat = [activity.reshape(-1, 4) for activity in (X, stretched)]
    assert distance(*flat, "procrustes") > 0.5
    assert distance(X, stretched, "dsa") < 1e-6


def test_the_same_geometry_with_other_dynamics():
    """Systems driven along the same mean trajectory: only their response to noise tells them from each other.

    Source: Galgali et al. 2023, whose systems Ostrow et al. 2023 compare in this way.
    """
    times = np.arange(30)
    mean = np.stack([np.cos(0.2 * times), np.sin(0.2 * times), 0.05 * times], axis=1)
    kinds = [
        0.9 * np.eye(3),
        scipy.linalg.block_diag(turning(0.9, 0.8), 0.9),
        np.array([[0.5, 0.9, 0], [0, 0.5, 0.9], [0, 0, 0.5]]),
    ]
    networks, averages, labels = [], [], []
    for kind, matrix in enumerate(kinds):
        for seed in range(5):
            random = np.random.default_rng([kind, seed])
            states = [np.tile(mean[0], (200, 1))]
            for t in times[1:]:
                drive = mean[t] - matrix @ mean[t - 1]
                states.append(states[-1] @ matrix.T + drive + 0.5 * random.normal(size=(200, 3)))
            activity = np.stack(states, axis=1) @ rotation(3, seed)
            networks.append(activity)
            averages.append(activity.mean(axis=0))
            labels.append(kind)
    same = np.equal.outer(labels, labels)
    away = ~np.eye(len(labels), dtype=bool)
    geometry = distance_matrix(averages, "procrustes").values
    dynamics = distance_matrix(networks, "dsa", centered=True).values
    # By dynamics every network is nearer to each of its own kind than to any other; by geometry it is not.
    assert dynamics[same & away].max() < 0.5 * dynamics[~same].min()
    assert geometry[~same].mean() < 1.5 * geometry[same & away].mean()
    assert geometry[~same].min() < geometry[same & away].max()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_delays": 0}, "n_delays is 0; expected a whole number of at least 1$"),
        ({"n_delays": True}, "n_delays is True; expected a whole number"),
        ({"delay_interval": 1.5}, "delay_interval is 1.5; expected a whole number"),
        ({"rank": 0}, "rank is 0; expected a whole number of at least 1, or None"),
        ({"lamb": -1}, "lamb is -1; expected a number of at least 0"),
        ({"reduced_rank_reg": 1}, "reduced_rank_reg is 1; expected True or False"),
        ({"centered": "yes"}, "centered is 'yes'; expected True or False"),
        ({"n_delays": 10, "delay_interval": 3}, "trials of 20 steps are too short for n_delays=10 at delay_interval=3"),
        ({"n_delays": 12}, "network X: 32 steps cannot determine a map between 36 dimensions; give more"),
    ],
)
def test_what_cannot_be_computed_is_said(options, message):
    X = np.random.default_rng(0).normal(size=(4, 20, 6))
    with pytest.raises(ValueError, match=message):
        distance(X, X + 1, "dsa", **options)


@pytest.mark.parametrize("options", [{}, {"rank": 4}, {"n_delays": 2, "rank": 6, "reduced_rank_reg": True}])
def test_input_dsa_agrees_with_a_joint_regression(options):
    random = np.random.default_rng(0)
    inputs = random.normal(size=(12, 30, 2)).cumsum(axis=1)
    weights = random.normal(size=(2, 6))
    state, states = np.zeros((12, 6)), []
    for t in range(30):
        state = state @ (0.8 * rotation(6, 1)) + inputs[:, t] @ weights + 0.3 * random.normal(size=(12, 6))
        states.append(state)
    X = np.stack(states, axis=1)
    measure = measure_of("input_dsa", options | {"lamb": 0})
    kept = measure.reduce(X, inputs)
    delays = options.get("n_delays", 1)
    embedded = np.concatenate([X[:, delays - 1 - d : 30 - d] for d in range(delays)], axis=-1)
    V = np.linalg.svd(embedded.reshape(-1, embedded.shape[-1]), full_matrices=False)[0]
    V = V if options.get("reduced_rank_reg") or "rank" not in options else V[:, : options["rank"]]
    V = V.reshape(12, -1, V.shape[1])
    before, after = (part.reshape(-1, V.shape[-1]) for part in (V[:, :-1], V[:, 1:]))
    driving = inputs[:, delays:].reshape(len(before), 2)
    A = np.linalg.lstsq(np.hstack([before, driving]), after)[0][: V.shape[-1]]
    if options.get("reduced_rank_reg"):
        free = after - driving @ np.linalg.lstsq(driving, after)[0]
        fitted = (before - driving @ np.linalg.lstsq(driving, before)[0]) @ A
        leading = np.linalg.svd(fitted.T @ free)[0][:, : options["rank"]]
        A = A @ leading @ leading.T
    assert transport_distance(kept["real"] + 1j * kept["imaginary"], np.linalg.eigvals(A)) < 1e-7
    # Without inputs to explain it, activity seems slower.
    assert distance(X, X, "input_dsa", inputs=inputs) == 0
    assert transport_distance(eigenvalues(X, **options), np.linalg.eigvals(A)) > 0.01
    still = measure.reduce(X, np.zeros((12, 30, 1)))
    assert transport_distance(still["real"] + 1j * still["imaginary"], eigenvalues(X, **options, lamb=0)) < 1e-12
