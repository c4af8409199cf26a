import time

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from dynatlas.embedding import mds


def distances_between(points):
    return np.linalg.norm(points[:, None] - points[None], axis=-1)


def points(seed, n=20, dims=2):
    return np.random.default_rng(seed).normal(size=(n, dims)) * np.arange(dims, 0, -1)


def stress_1(coordinates, matrix):
    return np.sqrt(((distances_between(coordinates) - matrix) ** 2).sum() / (matrix**2).sum())


def labelled(matrix, names):
    return xr.DataArray(
        matrix, dims=("network", "other_network"), coords={"network": names, "other_network": names}, name="cka"
    )


NOT_EUCLIDEAN = np.array([[0, 1, 1, 5], [1, 0, 1, 1], [1, 1, 0, 1], [5, 1, 1, 0]], float)  # 5 > 1 + 1


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1e-6, 1.0, 1e6]), st.integers(3, 15))
def test_planar_points_are_recovered_up_to_rotation(seed, scale, n):
    planar = scale * points(seed, n) + 3
    coordinates, stress = mds(distances_between(planar))
    assert stress < 1e-7
    np.testing.assert_allclose(distances_between(coordinates), distances_between(planar), rtol=1e-6, atol=1e-7 * scale)


@pytest.mark.parametrize("dims", [1, 2, 3, 5])
def test_points_on_a_line_are_recovered_in_any_dimensions(dims):
    line = np.array([[0.0], [1], [3], [7], [7]])
    coordinates, stress = mds(distances_between(line), dims)
    assert coordinates.shape == (5, dims)
    assert stress < 1e-7
    np.testing.assert_allclose(distances_between(coordinates), distances_between(line), atol=1e-6)


def test_three_dimensions_are_too_many_for_a_plane_but_not_for_space():
    solid = distances_between(points(0, 20, 3))
    assert mds(solid, dims=3).stress < 1e-7
    assert 0.01 < mds(solid, dims=2).stress < mds(solid, dims=1).stress


def test_stress_is_kruskals_and_at_a_minimum():
    matrix = distances_between(points(1, 12, 5))
    coordinates, stress = mds(matrix)
    assert stress == pytest.approx(stress_1(coordinates, matrix), abs=1e-12)
    # An independent minimiser, started there, finds nothing better; started elsewhere, nothing much better.
    polished = minimize(lambda flat: stress_1(flat.reshape(12, 2), matrix), coordinates.ravel())
    assert polished.fun == pytest.approx(stress, rel=1e-3)
    random = np.random.default_rng(0)
    others = [minimize(lambda flat: stress_1(flat.reshape(12, 2), matrix), random.normal(size=24)) for _ in range(3)]
    assert stress <= min(other.fun for other in others) * 1.05


def test_distances_that_no_euclidean_space_holds():
    coordinates, stress = mds(NOT_EUCLIDEAN)
    assert np.isfinite(coordinates).all()
    assert 0.1 < stress < 1
    # Negative eigenvalues alone: Torgerson's solution for four points and three dimensions has one of them to clip.
    assert np.isfinite(mds(NOT_EUCLIDEAN, dims=3).coordinates).all()


def test_equidistant_points_part():
    # Torgerson's solution puts some of six equidistant points on top of one another. No other optimum is as good as a
    # pentagon around a centre; a local minimum may be a little worse.
    matrix = 1 - np.eye(6)
    ring = np.exp(2j * np.pi * np.arange(5) / 5)
    pentagon = np.vstack([np.zeros(2), np.stack([ring.real, ring.imag], axis=1)])
    best = min(stress_1(radius * pentagon, matrix) for radius in np.linspace(0.3, 1.2, 901))
    coordinates, stress = mds(matrix)
    assert (distances_between(coordinates) + np.eye(6)).min() > 0.1
    assert best - 1e-6 < stress < best * 1.05


def test_the_map_is_centred_upright_and_reproducible():
    matrix = distances_between(points(2, 15, 4))
    coordinates = mds(matrix, dims=3).coordinates
    np.testing.assert_allclose(coordinates.mean(axis=0), 0, atol=1e-12)
    covariance = coordinates.T @ coordinates
    np.testing.assert_allclose(covariance - np.diag(np.diagonal(covariance)), 0, atol=1e-9)
    assert (np.diff(np.diagonal(covariance)) < 0).all()
    largest = np.abs(coordinates).argmax(axis=0)
    assert (coordinates[largest, np.arange(3)] > 0).all()
    np.testing.assert_array_equal(mds(matrix, dims=3).coordinates, coordinates)


def test_units_and_seed_do_not_matter_where_the_minimum_is_clear():
    matrix = distances_between(points(3, 15, 3))
    coordinates, stress = mds(matrix)
    scaled, same_stress = mds(1e-9 * matrix)
    np.testing.assert_allclose(scaled, 1e-9 * coordinates, rtol=1e-6, atol=1e-12)
    assert same_stress == pytest.approx(stress, rel=1e-9)
    assert mds(matrix, seed=5).stress == pytest.approx(stress, rel=1e-4)


def test_order_of_networks_permutes_the_map():
    matrix = distances_between(points(4))
    order = np.random.default_rng(0).permutation(20)
    np.testing.assert_allclose(mds(matrix[np.ix_(order, order)]).coordinates, mds(matrix).coordinates[order], atol=1e-9)


def test_labelled_and_listed_distances_are_taken():
    matrix = distances_between(points(5, 4))
    expected = mds(matrix).coordinates
    np.testing.assert_array_equal(mds(matrix.tolist()).coordinates, expected)
    np.testing.assert_array_equal(mds(labelled(matrix, list("abcd"))).coordinates, expected)


def test_few_networks():
    for n in (0, 1):
        coordinates, stress = mds(np.zeros((n, n)))
        assert (coordinates.shape, stress) == ((n, 2), 0)
    coordinates, stress = mds([[0, 3], [3, 0]])
    np.testing.assert_allclose(coordinates, [[1.5, 0], [-1.5, 0]], atol=1e-9)
    assert stress < 1e-9


def test_identical_networks_share_a_place():
    coordinates, stress = mds(np.zeros((5, 5)), dims=3)
    np.testing.assert_array_equal(coordinates, np.zeros((5, 3)))
    assert stress == 0


def test_rounding_is_forgiven():
    matrix = distances_between(points(6, 5))
    noisy = matrix + 1e-14 * np.arange(25).reshape(5, 5)
    np.testing.assert_allclose(mds(noisy).coordinates, mds(matrix).coordinates, atol=1e-9)


def test_five_hundred_networks_take_seconds():
    matrix = distances_between(points(7, 500, 20))
    started = time.process_time()
    mds(matrix)
    assert time.process_time() - started < 10


def broken(*cells, value=np.nan):
    matrix = distances_between(points(8, 6))
    for cell in cells:
        matrix[cell] = value
    return labelled(matrix, list("abcdef"))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.zeros((3, 2)), r"shape \(3, 2\); expected a square matrix"),
        (np.zeros(4), r"shape \(4,\); expected a square matrix"),
        # One bad network makes everyone's row incomplete; only it is to blame.
        (broken((2,), (slice(None), 2)), r"NaN or infinite; leave out 1 of 6 networks: c$"),
        (broken((2,), (slice(None), 2), (0, 5)), r"leave out 2 of 6 networks: a, c$"),
        (broken(...), r"leave out 6 of 6 networks: a, b, c, d, e, …"),
        (broken((1, 4), (4, 1), value=np.inf).values, r"NaN or infinite; leave out 1 of 6 networks: 1$"),
        (broken((3, 4), (4, 3), value=-2), r"go down to -2 \(network d\); expected at least 0"),
        (broken((3, 4), value=1e3), r"differ from their transpose by 99\d.* \(networks d, e\); expected a symmetric"),
        (broken((1, 1), value=1), r"network b has distance 1 from itself; expected 0. Turn a similarity"),
        ([[0.5]], "network 0 has distance 0.5 from itself"),
    ],
)
def test_bad_distances_are_explained(bad, message):
    with pytest.raises(ValueError, match=message):
        mds(bad)


def test_a_map_needs_a_dimension():
    with pytest.raises(ValueError, match="dims is 0; expected at least 1"):
        mds(np.zeros((3, 3)), dims=0)
