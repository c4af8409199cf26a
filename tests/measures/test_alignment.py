"""DSA's alignment of maps: closed forms, bounds, and what eigenvalues do not see."""

import numpy as np
import pytest
import scipy.linalg

from dynatlas import distance
from dynatlas.measures import DSA
from dynatlas.measures.dynamics.alignment import aligned_chord, aligned_chords, chord_bound, shape_of
from dynatlas.measures.dynamics.ascent import _begin, _cayley, _lengths, ascend, orthogonalised
from dynatlas.measures.pairs import all_pairs
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


@pytest.mark.parametrize("n", [1, 2, 5, 12, 32])
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
    A, B, X = random.normal(size=(3, 5, 5))
    X = X - X.T
    Q = rotation(5, 1)

    def value(t, generator=X):
        turn = scipy.linalg.expm(t * generator)
        return (A * (turn @ Q @ B @ Q.T @ turn.T)).sum()

    h = 1e-4
    state, scales = _begin(A[None], B[None], Q[None])
    assert state.values[0] == pytest.approx(value(0), rel=1e-12)
    assert (state.gradients[0] * X).sum() / 2 == pytest.approx((value(h) - value(-h)) / (2 * h), rel=1e-5)
    for i, j in ((0, 1), (1, 4), (3, 2)):
        plane = np.zeros((5, 5))
        plane[i, j], plane[j, i] = 1, -1
        second = (value(h, plane) - 2 * value(0) + value(-h, plane)) / h**2
        assert 1 / scales[0, i, j] == pytest.approx(abs(second), rel=1e-4)
    # Newton's step, where the product is concave and the step is short.
    first, second = (value(h) - value(-h)) / (2 * h), (value(h) - 2 * value(0) + value(-h)) / h**2
    slope = np.array([1e-3 * abs(second)])
    step = _lengths(state, X[None], (X @ X)[None], slope)[0, 0, 0]
    longest = 1 / np.sqrt(np.linalg.norm(X @ X))
    assert step == pytest.approx(min(1e-3, longest) if second < 0 else longest, rel=1e-4)
    assert np.isfinite(first)


def test_cayleys_transform_is_computed_by_products():
    X = np.random.default_rng(0).normal(size=(3, 7, 7))
    X = X - X.swapaxes(1, 2)
    X /= np.sqrt(np.linalg.norm(X @ X, axis=(1, 2)))[:, None, None]  # the longest step
    rotate, back = _cayley(X, X @ X / 4)
    exact = np.linalg.solve(np.eye(7) - X / 2, np.eye(7) + X / 2)
    np.testing.assert_allclose(rotate, exact, atol=2 * 0.25**8)
    np.testing.assert_allclose(back, exact.swapaxes(1, 2), atol=2 * 0.25**8)


def test_an_ascent_rises_to_a_point_without_slope():
    random = np.random.default_rng(0)
    A, B = (shape_of(matrix).matrix for matrix in random.normal(size=(2, 6, 6)))
    start = rotation(6, 2)[None]
    found, rough = ascend(A[None], B[None], start, 500, 1e-12)
    found, values = ascend(A[None], B[None], orthogonalised(found), 500, 1e-12)
    assert rough[0] == pytest.approx(values[0], abs=1e-5)  # long steps are not quite orthogonal
    C = orthogonalised(found)[0]
    np.testing.assert_allclose(C @ C.T, np.eye(6), atol=1e-14)
    turned = C @ B @ C.T
    assert values[0] == pytest.approx((A * turned).sum(), abs=1e-10)
    assert values[0] > (A * (start[0] @ B @ start[0].T)).sum()
    slope = A.T @ turned - turned @ A.T
    assert abs(slope - slope.T).max() < 1e-4


def test_no_alignment_depends_on_the_others():
    random = np.random.default_rng(0)
    for n in (3, 12):
        shapes = [shape_of(matrix) for matrix in random.normal(size=(9, n, n))]
        pairs = [(shapes[i], shapes[j]) for i in range(9) for j in range(9)]
        together = aligned_chords(pairs, 8)
        assert together.tolist() == [aligned_chord(*pair, 8) for pair in pairs]
        assert together.tolist() == aligned_chords(pairs[::-1], 8)[::-1].tolist()
        np.testing.assert_array_equal(together.reshape(9, 9), together.reshape(9, 9).T)
    assert aligned_chords([]).shape == (0,)
    measure = DSA(score_method="euclidean", starts=4)
    kept = [shape_of(random.normal(size=(n, n)))._asdict() for n in [3] * 20 + [5] * 20]
    matrix = all_pairs(kept, measure, threads=1)
    np.testing.assert_array_equal(matrix, all_pairs(kept, measure, threads=3))
    for i, j in ((1, 0), (25, 3), (39, 38)):
        assert matrix[i, j] == measure.between(kept[i], kept[j]) == measure.between(kept[j], kept[i])


def test_maps_whose_parts_are_degenerate():
    random = np.random.default_rng(0)
    # 0 dimensions to turn; eigenvalues that repeat; a part that is 0.
    assert aligned_chord(shape_of(np.array([[2.0]])), shape_of(np.array([[-1.0]]))) == pytest.approx(2)
    assert aligned_chord(shape_of(np.eye(4)), shape_of(3 * np.eye(4))) < 1e-7
    assert aligned_chord(shape_of(np.eye(4)), shape_of(np.diag([1.0, 1, 1, 0]))) == pytest.approx(
        np.sqrt(2 - 2 * 3 / np.sqrt(12)), abs=1e-7
    )
    turn = rotation(6, 3)
    for matrix in (
        np.diag([1.0, 1, 1, 0, 0, -1]),
        scipy.linalg.block_diag(turning(0.4), turning(0.4), turning(0.4)),
        np.eye(6, k=1),
        np.outer(random.normal(size=6), random.normal(size=6)),
    ):
        assert aligned_chord(shape_of(matrix), shape_of(turn @ matrix @ turn.T)) < 1e-6
    with pytest.raises(ValueError, match="is 0, which has no direction"):
        shape_of(np.zeros((3, 3)))


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


def test_a_map_that_an_earlier_version_stored_is_decomposed_again():
    random = np.random.default_rng(5)
    measure = DSA(score_method="euclidean", starts=8)
    first, second = (measure.reduce(random.normal(size=(4, 40, 3))) for _ in range(2))
    earlier = {name: values for name, values in first.items() if name != "mixed"}
    assert measure.between(earlier, second) == pytest.approx(measure.between(first, second), rel=1e-9)


def test_bad_options_of_the_alignment():
    X, Y = np.random.default_rng(0).normal(size=(2, 5, 20, 3))
    for options, message in (
        ({"score_method": "angle"}, "score_method is 'angle'; expected 'wasserstein', 'angular' or 'euclidean'"),
        ({"starts": 0}, "starts is 0; expected a whole number of at least 1, or None"),
    ):
        with pytest.raises(ValueError, match=message):
            distance(X, Y, "dsa", **options)
