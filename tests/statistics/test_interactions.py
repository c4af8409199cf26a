"""The test of interactions against least squares, and with effects of every kind."""

import numpy as np
import pytest
from scipy.spatial.distance import pdist, squareform

from dynatlas.statistics.interactions import interaction_test
from dynatlas.statistics.permanova import factor_test

A, B = np.repeat([0, 1, 2, 3], 6), np.tile([0, 0, 0, 1, 1, 1], 4)


def between(points):
    return squareform(pdist(points))


def residual(points, *factors):
    columns = np.column_stack([np.ones(len(points)), *(np.equal.outer(one, np.unique(one)) for one in factors)])
    hat = columns @ np.linalg.pinv(columns.astype(float))
    return points - hat @ points, np.diagonal(hat)


@pytest.mark.parametrize("kept", [np.arange(24), np.setdiff1d(np.arange(24), [0, 1, 9, 21, 22, 23])])
def test_the_statistic_is_that_of_least_squares(kept):
    points, a, b = np.random.default_rng(0).normal(size=(24, 4))[kept], A[kept], B[kept]
    cells = 2 * a + b
    (main, low), (within, high) = residual(points, a, b), residual(points, cells)
    numerator = (main**2).sum() - (within**2).sum()
    sizes = np.bincount(cells)
    pooled = (within**2).sum() / (len(kept) - len(set(cells.tolist())))
    noise = sum(
        (high - low)[cells == cell].sum()
        * ((within[cells == cell] ** 2).sum() / (sizes[cell] - 1) if sizes[cell] > 1 else pooled)
        for cell in set(cells.tolist())
    )
    test = interaction_test(between(points), [a, b], 9)
    assert test.f2 == pytest.approx(numerator / noise, rel=1e-9)
    assert test.r2 == pytest.approx(numerator / ((points - points.mean(axis=0)) ** 2).sum(), rel=1e-9)


def test_a_crossover_is_an_interaction_and_no_main_effect():
    found, main = [], []
    for seed in range(40):
        points = np.random.default_rng(seed).normal(size=(24, 10))
        points[:, 0] += 2 * (-1.0) ** (A + B)
        distances = between(points)
        found.append(interaction_test(distances, [A, B], 199, seed).p < 0.05)
        main.append(factor_test(distances, B, [A], 199, seed))
    assert np.mean(found) > 0.9
    assert np.mean([test.p < 0.05 for test in main]) < 0.1
    # Nor is a crossover taken for a distance that measures no difference.
    assert np.mean([test.p_lower < 0.05 for test in main]) < 0.15


def test_main_effects_are_no_interaction():
    ps, chances, shares = [], [], []
    for seed in range(200):
        points = np.random.default_rng(seed).normal(size=(24, 10))
        points[np.arange(24), A] += 3
        points[:, 5] += 2 * B
        test = interaction_test(between(points), [A, B], 99, seed)
        ps.append(test.p)
        chances.append(test.chance)
        shares.append(test.r2)
    assert np.mean(np.array(ps) < 0.05) < 0.1
    assert np.mean(shares) == pytest.approx(np.mean(chances), rel=0.05)


def test_where_there_is_nothing_to_test():
    distances = between(np.random.default_rng(0).normal(size=(24, 3)))
    for of, factors in (
        (distances, [A]),
        (distances[::3, ::3], [A[::3], B[::3]]),  # one network per combination
        (distances, [A, A // 2]),  # nested: the combinations are the levels of one factor
    ):
        with pytest.raises(ValueError, match=r"\d+ combinations of \d+ networks add nothing to \d main effects"):
            interaction_test(of, factors, 9)


def test_batches_change_no_number(monkeypatch):
    distances = between(np.random.default_rng(0).normal(size=(24, 3)))
    expected = interaction_test(distances, [A, B], 100)
    monkeypatch.setattr("dynatlas.statistics.interactions.MOST_GATHERED", 1)
    assert interaction_test(distances, [A, B], 100) == pytest.approx(expected)
