"""The distance between error profiles: laws, limits, and values worked by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dynatlas.measures.behavior import ErrorProfile, error_profile, profile_distance

errors = arrays(np.float64, 4, elements=st.floats(0, 1e12))


def test_a_factor_of_ten_in_one_of_four_errors_is_a_half():
    first = np.array([0.1, 0.2, 0.3, 0.4])
    assert profile_distance(first, first * [1, 10, 1, 1]) == pytest.approx(0.5, rel=1e-12)


@given(errors, errors, errors)
def test_it_is_a_metric_between_profiles(first, second, third):
    assert profile_distance(first, first) == 0
    assert profile_distance(first, second) == profile_distance(second, first)
    assert profile_distance(first, third) <= profile_distance(first, second) + profile_distance(second, third) + 1e-12


def test_infinite_errors_count_as_the_largest():
    assert error_profile([np.inf, 1e9]).tolist() == [3, 3]
    assert error_profile([0.0, 1e-9]).tolist() == [-6, -6]


def test_a_tile_has_the_distances_of_its_pairs():
    networks = [{"profile": error_profile(each)} for each in np.random.default_rng(0).uniform(0, 2, (5, 3))]
    tile = ErrorProfile().tile(networks, networks[:2])
    for row, first in enumerate(networks):
        for column, second in enumerate(networks[:2]):
            expected = np.sqrt(np.mean((first["profile"] - second["profile"]) ** 2))
            assert tile[row, column] == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ([-1.0], [1.0], "an error is -1; expected at least 0"),
        ([1.0], [1.0, 2.0], r"the shapes \(1,\) and \(2,\)"),
        ([], [], "at least one"),
        ([np.nan], [1.0], "an error is nan; expected at least 0, or infinity"),
    ],
)
def test_wrong_errors_are_refused(first, second, message):
    with pytest.raises(ValueError, match=message):
        profile_distance(first, second)
