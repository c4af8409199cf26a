import numpy as np
import pytest

from dynatlas._util.arrays import weighted_median


@pytest.mark.parametrize("count", [1, 2, 5, 8])
def test_equal_weights_give_the_lower_median(count):
    rows = np.random.default_rng(count).normal(size=(count, 3))
    expected = np.sort(rows, axis=0)[(count - 1) // 2]
    np.testing.assert_array_equal(weighted_median(rows, np.full(count, 1 / count)), expected)


def test_whole_weights_count_copies():
    random = np.random.default_rng(0)
    rows, weights = random.normal(size=7), random.integers(0, 5, size=7)
    copies = np.sort(np.repeat(rows, weights))
    assert weighted_median(rows, weights.astype(float)) == copies[(len(copies) - 1) // 2]


def test_what_has_no_weight_does_not_count_even_if_it_is_no_number():
    assert weighted_median(np.array([np.nan, 3.0, -np.inf]), np.array([0.0, 0.1, 0.0])) == 3
    assert np.isnan(weighted_median(np.array([1.0, 2.0]), np.zeros(2)))
    assert np.isnan(weighted_median(np.zeros((0, 4)), np.zeros(0))).all()
