"""The search for a reordering: scores, gains of moves and bounds against the weights themselves."""

import numpy as np
import pytest
import scipy.optimize

from dynatlas.measures.weights.assignment import assignment
from dynatlas.measures.weights.bounds import distance_bound, profiles, spectral_bound
from dynatlas.measures.weights.exchanges import _State, exchanged
from dynatlas.measures.weights.layout import lay_out, layout_of, row_and_column_flips
from dynatlas.measures.weights.matching import best_reordering
from dynatlas.measures.weights.score import Reordering, Score
from support.activities import rotation
from support.weight_networks import moved, random_network, vector, weights_only

# The blocks of one of each kind: rows and columns that change sign, columns alone, neither.
SIGNED = [True, False]


def pair(seed, signed, units=6):
    return [random_network(units, 2 * seed + k, gates=("candidate", "update"), signed=signed) for k in range(2)]


def score_of(first, second):
    layout = layout_of(first, second)
    return Score(*(lay_out(one, layout) for one in (first, second)), row_and_column_flips(layout), signed=layout.signed)


def any_reordering(score, random):
    signs = random.choice([-1.0, 1.0], score.n) if True in score.parts else np.ones(score.n)
    return Reordering(random.permutation(score.n), signs)


@pytest.mark.parametrize("signed", SIGNED)
def test_scores_are_products_of_moved_weights(signed):
    random = np.random.default_rng(0)
    for seed in range(5):
        first, second = pair(seed, signed)
        score, names = score_of(first, second), sorted(weights_only(first))
        for _ in range(5):
            at = any_reordering(score, random)
            vectors = vector(first, names), vector(moved(second, at.order, at.signs), names)
            assert score.value(at) == pytest.approx(vectors[0] @ vectors[1], abs=1e-6)
            assert score.squared_distance(at) == pytest.approx(((vectors[0] - vectors[1]) ** 2).sum(), abs=1e-12)


@pytest.mark.parametrize("signed", SIGNED)
def test_the_bilinear_part_is_symmetric(signed):
    random = np.random.default_rng(1)
    score = score_of(*pair(3, signed))
    for _ in range(5):
        one, two = (any_reordering(score, random) for _ in range(2))
        crossed = score.along(score.bilinear(one), two), score.along(score.bilinear(two), one)
        assert crossed[0] == pytest.approx(crossed[1], abs=1e-6)


@pytest.mark.parametrize("signed", SIGNED)
def test_every_move_gains_what_it_says(signed):
    random = np.random.default_rng(2)
    for seed in range(4):
        score = score_of(*pair(seed, signed))
        state = _State(score, any_reordering(score, random))
        for _ in range(12):
            before = score.squared_distance(Reordering(state.order, state.signs))
            moves = [state._best_exchange(sign) for sign in state.across]
            moves += [state._best_change()] if signed else []
            move = moves[random.integers(len(moves))]
            state.make(move)
            after = score.squared_distance(Reordering(state.order, state.signs))
            assert (before - after) / 2 == pytest.approx(move.gain, abs=1e-12)
            fresh = _State(score, Reordering(state.order, state.signs))
            np.testing.assert_allclose(state.gradient, fresh.gradient, atol=1e-12)
            np.testing.assert_allclose(state.second, fresh.second, atol=1e-12)


@pytest.mark.parametrize("signed", SIGNED)
def test_after_exchanges_no_single_move_gains(signed):
    random = np.random.default_rng(3)
    score = score_of(*pair(1, signed))
    for _ in range(5):
        found = exchanged(score, any_reordering(score, random))
        least = score.squared_distance(found) - 1e-9
        for i in range(score.n):
            for j in range(score.n):
                order = found.order.copy()
                order[[i, j]] = order[[j, i]]
                signs = found.signs.copy()
                signs[[i, j]] = signs[[j, i]]
                assert score.squared_distance(found._replace(order=order, signs=signs)) >= least
            changed = found.signs * np.where(np.arange(score.n) == i, -1, 1)
            assert not signed or score.squared_distance(found._replace(signs=changed)) >= least


@pytest.mark.parametrize("signed", SIGNED)
def test_no_reordering_is_below_a_bound(signed):
    random = np.random.default_rng(4)
    for seed in range(5):
        first, second = pair(seed, signed)
        if seed == 4:  # of symmetric blocks, spectra know more
            first, second = (
                one | {name: one[name] + one[name].T for name in one if name.startswith("between")}
                for one in (first, second)
            )
        score = score_of(first, second)
        rows = [profiles(one, score.flips) for one in (score.first, score.second)]
        bound = distance_bound(score, *rows)
        found, _ = best_reordering(score, rows[0] @ rows[1].T, 5, 8)
        for at in [found, *(any_reordering(score, random) for _ in range(100))]:
            assert bound**2 <= score.squared_distance(at)


@pytest.mark.parametrize("alike", [True, False])
def test_spectra_bound_products_of_turned_matrices(alike):
    random = np.random.default_rng(5)
    A, B = random.normal(size=(2, 6, 6))
    bound = spectral_bound(A, B, alike=alike)
    for seed in range(100):
        left = rotation(6, seed)
        right = left if alike else rotation(6, seed + 1000)
        assert (A * (left @ B @ right.T)).sum() <= bound + 1e-12
    left, right = rotation(6, 1), rotation(6, 1 if alike else 2)
    symmetric = A + A.T
    # Reached by a turned copy.
    copy = left @ symmetric @ right.T
    assert spectral_bound(symmetric, copy, alike=alike) == pytest.approx((symmetric**2).sum())


def test_the_assignment_is_the_best_one():
    random = np.random.default_rng(6)
    for gains in (
        random.normal(size=(20, 20)) + 100 * np.arange(20)[:, None],
        np.outer(*random.exponential(size=(2, 20)) ** 4),
        1e-9 * random.normal(size=(5, 5)),
        np.array([[1e12, 0.0], [1e12 - 1, 0.0]]),
        np.ones((3, 3)),
        np.zeros((1, 1)),
    ):
        columns, total = assignment(gains)
        rows, expected = scipy.optimize.linear_sum_assignment(gains, maximize=True)
        assert total == pytest.approx(gains[rows, expected].sum(), rel=1e-12)
        assert sorted(columns) == list(range(len(gains)))


def test_not_worse_than_scipy():
    """Against SciPy's quadratic assignment of the same recurrent weights, without features and signs."""
    random, better = np.random.default_rng(7), 0
    for _ in range(10):
        A, B = random.normal(size=(2, 12, 12))
        options = {"maximize": True, "rng": np.random.default_rng(1)}
        found = [
            scipy.optimize.quadratic_assignment(A, B, method=method, options=options).fun for method in ("faq", "2opt")
        ]
        score = score_of({"between w": A}, {"between w": B})
        rows = [profiles(one, score.flips) for one in (score.first, score.second)]
        value = (
            score.value(best_reordering(score, rows[0] @ rows[1].T, 3, 30)[0]) * np.linalg.norm(A) * np.linalg.norm(B)
        )
        better += value >= max(found) - 1e-9
    assert better >= 7
