"""DSA's alignment of maps: closed forms, bounds, and what eigenvalues do not see."""

import numpy as np
import pytest
import scipy.linalg

from dynatlas import distance
from dynatlas.measures import DSA
from dynatlas.measures.dynamics.alignment import _along, aligned_chord, chord_bound, shape_of
from support.activities import rotation

STARTS = 32


def turning(angle):
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def driven(matrix, seed, trials=60, times=60):
    """Trajectories of x(t + 1) = A x(t) + noise [trials, times, units]."""
    random = np.random.default_rng(seed)
    states = [random.normal(size=(trials, len(matrix)))]
    for _ in range(times - 1):
        states.append(states[-1] @ np.transpose(matrix) + random.normal(size=states[-1].shape))
    return np.stack(states, axis=1)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        # Turns by 0.3 and 0.5, whose matrices are 0.2 radians apart; a reflection turns the other way.
        (turning(0.3), 5 * turning(0.5), 0.2),
        (turning(0.3), turning(-0.5), 0.2),
        # Eigenvalues of symmetric maps are matched in order.
        (np.diag([3.0, 4.0]), np.diag([4.0, 3.0]), 0.0),
        (np.diag([1.0, 0.0]), np.diag([0.0, -1.0]), np.pi / 2),
        (np.diag([1.0, 2.0, 3.0]), np.diag([0.0, 3.0, 1.0]), np.arccos(11 / np.sqrt(14 * 10))),
        (np.array([[0.0, 1.0], [0.0, 0.0]]), np.array([[0.0, 0.0], [5.0, 0.0]]), 0.0),
    ],
)
def test_alignments_worked_by_hand(first, second, expected):
    chord = aligned_chord(shape_of(first), shape_of(second), STARTS)
    assert 2 * np.arcsin(chord / 2) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("n", [1, 2, 5, 12])
def test_a_turned_or_reflected_map_is_at_0(n):
    random = np.random.default_rng(n)
    for seed in range(4):
        matrix = random.normal(size=(n, n))
        turn = rotation(n, seed)
        assert aligned_chord(shape_of(matrix), shape_of(turn @ matrix @ turn.T), STARTS) < 1e-6


@pytest.mark.parametrize("n", [2, 3, 8])
def test_no_alignment_is_below_the_bound_and_none_tried_is_below_the_chord(n):
    random = np.random.default_rng(n)
    for _ in range(5):
        A, B = (shape_of(random.normal(size=(n, n))) for _ in range(2))
        chord = aligned_chord(A, B, STARTS)
        assert chord == aligned_chord(B, A, STARTS)
        assert chord_bound(A, B) <= chord + 1e-12
        for seed in range(200):
            turn = rotation(n, seed)
            assert np.linalg.norm(A.matrix - turn @ B.matrix @ turn.T) >= chord - 1e-9
    # Of symmetric maps, and of skew ones, the bound is reached.
    for sign in (1, -1):
        A, B = (shape_of(matrix + sign * matrix.T) for matrix in random.normal(size=(2, n, n)))
        assert aligned_chord(A, B, STARTS) == pytest.approx(chord_bound(A, B), abs=1e-6)


def test_derivatives_along_a_rotation():
    random = np.random.default_rng(0)
    A, D, X = random.normal(size=(3, 5, 5))
    X = X - X.T

    def value(t):
        turn = scipy.linalg.expm(t * X)
        return (A * (turn @ D @ turn.T)).sum()

    h = 1e-4
    first, second = _along(A, D[None], X[None])
    assert first[0] == pytest.approx((value(h) - value(-h)) / (2 * h), rel=1e-5)
    assert second[0] == pytest.approx((value(h) - 2 * value(0) + value(-h)) / h**2, rel=1e-5)


def test_alignment_sees_what_eigenvalues_do_not():
    # A shear amplifies before it decays; the eigenvalues are those of the map without it.
    shear, plain = np.array([[0.8, 2.0], [0.0, 0.2]]), np.diag([0.8, 0.2])
    X, Y, again = driven(shear, 1), driven(plain, 2), driven(shear, 3)
    for method, factor in (("angular", 5), ("euclidean", 5)):
        options = {"score_method": method, "centered": True}
        assert distance(X, Y, "dsa", **options) > factor * distance(X, again, "dsa", **options)
    assert distance(X, Y, "dsa", centered=True) < 0.05


def test_angle_and_chord_are_of_one_alignment():
    X, Y = (driven(0.8 * rotation(6, seed), seed) for seed in (1, 2))
    angle, chord = (distance(X, Y, "dsa", rank=4, score_method=method) for method in ("angular", "euclidean"))
    assert chord == pytest.approx(2 * np.sin(angle / 2), abs=1e-12)
    assert distance(X, X @ rotation(6, 3), "dsa", rank=4, score_method="angular") < 1e-6
    assert distance(X[::-1], Y, "dsa", rank=4, score_method="angular") == pytest.approx(angle, abs=1e-6)
    # Reduced-rank regression keeps all dimensions, of which the map's image has four.
    options = {"rank": 4, "reduced_rank_reg": True, "score_method": "angular"}
    kept = [DSA(**options).reduce(activity) for activity in (X, Y)]
    assert kept[0]["matrix"].shape == (6, 6)
    assert np.linalg.matrix_rank(kept[0]["matrix"], tol=1e-10) == 4
    assert DSA(**options).lower_bound(*kept) <= DSA(**options).between(*kept)


def test_a_smaller_map_is_padded_with_zeros():
    random = np.random.default_rng(0)
    wide, narrow = np.diag([3.0, 2.0, 1.0]), np.diag([2.0, 3.0])
    measure = DSA(score_method="angular")
    kept = [shape_of(matrix)._asdict() for matrix in (wide, narrow, np.pad(narrow, (0, 1)))]
    expected = np.arccos(13 / np.sqrt(14 * 13))
    assert measure.between(kept[0], kept[1]) == pytest.approx(expected, abs=1e-6)
    assert measure.between(kept[1], kept[0]) == measure.between(kept[0], kept[1])
    assert measure.lower_bound(kept[0], kept[1]) == pytest.approx(expected, abs=1e-6)
    assert measure.between(kept[1], kept[2]) < 1e-6
    skewed = [shape_of(random.normal(size=(size, size)))._asdict() for size in (3, 5)]
    assert 0 < measure.lower_bound(*skewed) <= measure.between(*skewed) <= np.pi
    X, Y = driven(0.8 * rotation(6, 1), 1), driven(0.8 * rotation(4, 2), 2)
    assert distance(X, Y, "dsa", score_method="angular", starts=8) > 0


def test_bad_options_of_the_alignment():
    X, Y = np.random.default_rng(0).normal(size=(2, 5, 20, 3))
    for options, message in (
        ({"score_method": "angle"}, "score_method is 'angle'; expected 'wasserstein', 'angular' or 'euclidean'"),
        ({"starts": 0}, "starts is 0; expected a whole number of at least 1"),
    ):
        with pytest.raises(ValueError, match=message):
            distance(X, Y, "dsa", **options)
