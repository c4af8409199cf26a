import numpy as np
import pytest
import scipy.optimize
import xarray as xr
from scipy.spatial.distance import pdist, squareform

from dynatlas import distance_matrix, mds
from dynatlas.statistics.distance_matrix import DistanceMatrix
from dynatlas.statistics.embedding import negative_share


def between(points):
    return squareform(pdist(points))


def cloud(n=30, dims=2, seed=0):
    return np.random.default_rng(seed).normal(size=(n, dims)) * [3, 1, 0.5][:dims] + 10


def stress_1(coordinates, distances):
    pairs = [(i, j) for i in range(len(distances)) for j in range(i)]
    missed = sum((np.linalg.norm(coordinates[i] - coordinates[j]) - distances[i][j]) ** 2 for i, j in pairs)
    return np.sqrt(missed / sum(distances[i][j] ** 2 for i, j in pairs))


def not_euclidean(n=12, seed=0):
    noise = np.random.default_rng(seed).uniform(0.2, 3, size=(n, n))
    distances = np.triu(noise, 1)
    return distances + distances.T


# ---- maps that exist are found ----


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_points_are_recovered_from_their_distances(dims, seed):
    distances = between(cloud(dims=dims, seed=seed))
    coordinates, stress = mds(distances, dims=dims)
    assert coordinates.shape == (30, dims)
    np.testing.assert_allclose(between(coordinates), distances, rtol=0, atol=1e-7)
    assert stress < 1e-8


def test_more_dimensions_than_the_points_fill():
    distances = between(cloud())
    coordinates, stress = mds(distances, dims=3)
    np.testing.assert_allclose(between(coordinates), distances, rtol=0, atol=1e-4)
    np.testing.assert_allclose(coordinates[:, 2], 0, atol=1e-4)
    assert stress < 1e-5
    # More even than there are points.
    coordinates, stress = mds([[0, 3, 4], [3, 0, 5], [4, 5, 0]], dims=5)
    assert coordinates.shape == (3, 5)
    np.testing.assert_allclose(pdist(coordinates), [3, 4, 5], rtol=0, atol=1e-4)
    assert stress < 1e-5


def test_duplicate_points_lie_together():
    points = np.repeat(cloud(8), 3, axis=0)
    coordinates, stress = mds(between(points))
    np.testing.assert_allclose(between(coordinates), between(points), rtol=0, atol=1e-7)
    assert stress < 1e-8


def test_points_of_a_measure_come_back_labelled_by_position():
    random = np.random.default_rng(0)
    base = random.normal(size=(100, 6))
    networks = {f"net {k}": base + k * random.normal(size=(100, 6)) / 2 for k in range(5)}
    labelled = distance_matrix(networks, "procrustes")
    coordinates, stress = mds(labelled)
    assert type(coordinates) is np.ndarray
    np.testing.assert_array_equal(coordinates, mds(labelled.values).coordinates)
    assert stress == mds(labelled.values.tolist()).stress


def test_three_hundred_networks():
    distances = between(cloud(300, dims=3))
    coordinates, stress = mds(distances)
    assert coordinates.shape == (300, 2)
    assert stress == pytest.approx(stress_1(coordinates, distances), rel=1e-9)
    # Leaving out the third axis, which has 2.5 % of the variance, is a map too; the best is no worse.
    assert 0 < stress < stress_1(cloud(300, dims=3)[:, :2], distances)


# ---- and otherwise the best likeness ----


def test_three_equidistant_points_on_a_line():
    # At −a, 0, a the stress is 2(a − 1)² + (2a − 1)², least at a = 2/3, and there 1/3 of Σδ² = 3.
    coordinates, stress = mds(1 - np.eye(3), dims=1)
    np.testing.assert_allclose(np.sort(coordinates[:, 0]), [-2 / 3, 0, 2 / 3], rtol=0, atol=1e-3)
    assert stress == pytest.approx(1 / 3, abs=1e-6)


def test_four_equidistant_points_in_the_plane_form_a_square():
    # 4(a − 1)² + 2(√2a − 1)² is least at a = (2 + √2)/4, less than what a triangle round the fourth point has.
    coordinates, stress = mds(1 - np.eye(4))
    side = (2 + np.sqrt(2)) / 4
    np.testing.assert_allclose(np.sort(pdist(coordinates)), [side] * 4 + [side * np.sqrt(2)] * 2, rtol=0, atol=1e-3)
    assert stress == pytest.approx(np.sqrt((4 * (side - 1) ** 2 + 2 * (np.sqrt(2) * side - 1) ** 2) / 6), abs=1e-6)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("seed", range(4))
def test_no_small_step_from_the_map_lowers_the_stress(seed, dims):
    distances = not_euclidean(seed=seed)
    coordinates, stress = mds(distances, dims=dims)
    assert np.isfinite(coordinates).all()
    assert stress == pytest.approx(stress_1(coordinates, distances), rel=1e-12)
    given = squareform(distances)
    better = scipy.optimize.minimize(
        lambda flat: np.linalg.norm(pdist(flat.reshape(-1, dims)) - given) / np.linalg.norm(given), coordinates.ravel()
    )
    assert better.fun > stress - 1e-4
    # Torgerson's classical map, computed here, is where it starts, and is far from the best.
    n = len(distances)
    centring = np.eye(n) - 1 / n
    eigenvalues, vectors = np.linalg.eigh(-centring @ distances**2 @ centring / 2)
    classical = vectors[:, ::-1][:, :dims] * np.sqrt(eigenvalues[::-1][:dims])
    assert stress < stress_1(classical, distances) - 0.02


def test_negative_share_is_0_for_points_and_that_of_numpys_eigenvalues_else():
    points = np.random.default_rng(0).normal(size=(30, 12))
    euclidean = squareform(pdist(points))
    assert negative_share(euclidean) == 0
    assert negative_share(np.zeros((3, 3))) == 0
    bent = euclidean**2.5
    centring = np.eye(30) - 1 / 30
    eigenvalues = np.linalg.eigvals(-0.5 * centring @ bent**2 @ centring).real
    assert negative_share(7 * bent) == pytest.approx(-eigenvalues[eigenvalues < 0].sum() / abs(eigenvalues).sum())
    assert negative_share(bent) > 0.01


def test_distances_that_break_the_triangle_inequality():
    # The first two coincide, and yet differ in their distance from the third: 2/3 of the way is the mean of both.
    coordinates, stress = mds([[0, 0, 1], [0, 0, 0.5], [1, 0.5, 0]])
    assert np.isfinite(coordinates).all()
    assert stress == pytest.approx(stress_1(coordinates, [[0, 0, 1], [0, 0, 0.5], [1, 0.5, 0]]), rel=1e-9)
    # On a line at −a, 0 and b, a² + (a + b − 1)² + (b − ½)² is least at a = 1/6, b = 2/3, where it is 1/12 of 5/4.
    assert stress == pytest.approx(np.sqrt(1 / 15), abs=1e-4)


def test_points_that_the_start_puts_in_one_place_part():
    # Two pairs, 1 within and 2 between. The classical start parts one pair along its second axis and leaves the other
    # together, where each feels the same pull. The best map is a rectangle.
    distances = np.array([[0, 1, 2, 2], [1, 0, 2, 2], [2, 2, 0, 1], [2, 2, 1, 0]])
    rectangle = scipy.optimize.minimize(
        lambda sides: 2 * ((sides - [1, 2]) ** 2).sum() + 2 * (np.linalg.norm(sides) - 2) ** 2, [1, 2]
    )
    coordinates, stress = mds(distances)
    assert stress == pytest.approx(np.sqrt(rectangle.fun / (distances**2 / 2).sum()), abs=1e-6)
    np.testing.assert_allclose(np.ptp(coordinates, axis=0), rectangle.x[::-1], rtol=0, atol=1e-3)


# ---- conventions ----


@pytest.mark.parametrize("distances", [between(cloud(dims=3)), not_euclidean(), 1 - np.eye(6)])
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_map_is_centred_along_its_principal_axes_and_upright(distances, dims):
    coordinates = mds(distances, dims=dims).coordinates
    np.testing.assert_allclose(coordinates.mean(axis=0), 0, atol=1e-12)
    covariance = coordinates.T @ coordinates
    np.testing.assert_allclose(covariance, np.diag(np.diagonal(covariance)), rtol=0, atol=1e-9 * covariance.max())
    assert (np.diff(np.diagonal(covariance)) <= 1e-9 * covariance.max()).all()
    magnitudes = np.abs(coordinates)
    assert (coordinates.max(axis=0) >= (1 - 1e-8) * magnitudes.max(axis=0)).all()


def test_two_networks_lie_at_either_side_the_first_on_the_positive_one():
    coordinates, stress = mds([[0, 3], [3, 0]])
    np.testing.assert_allclose(coordinates, [[1.5, 0], [-1.5, 0]], rtol=0, atol=1e-7)
    assert stress < 1e-8


@pytest.mark.parametrize("seed", range(10))
def test_rounding_does_not_choose_the_side_of_a_mirror_image(seed):
    # The corners of a rectangle are equally far out on each axis: the first of them, whichever, is the positive one.
    corners = np.array([[2, 1], [-2, 1], [-2, -1], [2, -1.0]])
    turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(2, 2)))[0]
    np.testing.assert_allclose(
        mds(between(corners @ turn + 1 / 3)).coordinates, corners * corners[0] / np.abs(corners[0]), rtol=0, atol=1e-7
    )


@pytest.mark.parametrize("n", [0, 1, 4])
@pytest.mark.parametrize("dims", [1, 2])
def test_nothing_to_map(n, dims):
    coordinates, stress = mds(np.zeros((n, n)), dims=dims)
    np.testing.assert_array_equal(coordinates, np.zeros((n, dims)))
    assert stress == 0


@pytest.mark.parametrize("distances", [between(cloud(dims=3)), not_euclidean(), 1 - np.eye(6)])
def test_is_the_same_every_time(distances):
    first, second = (mds(distances) for _ in range(2))
    np.testing.assert_array_equal(first.coordinates, second.coordinates)
    assert first.stress == second.stress


def test_leaves_the_global_random_state_and_its_input_alone():
    distances = not_euclidean()
    before, state = distances.copy(), np.random.get_state()[1].copy()  # noqa: NPY002
    mds(distances)
    np.testing.assert_array_equal(distances, before)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


@pytest.mark.parametrize("seed", [1, 2])
def test_seed_does_not_move_a_perfect_map(seed):
    distances = between(cloud())
    np.testing.assert_allclose(mds(distances, seed=seed).coordinates, mds(distances).coordinates, rtol=0, atol=1e-9)


@pytest.mark.parametrize("exponent", [-300, -20, 20, 300])
def test_units_of_the_distances_only_scale_the_map(exponent):
    distances = not_euclidean()
    scaled = mds(np.ldexp(distances, exponent))
    np.testing.assert_array_equal(scaled.coordinates, np.ldexp(mds(distances).coordinates, exponent))
    assert scaled.stress == mds(distances).stress


def test_order_of_the_networks_only_orders_the_map():
    distances = between(cloud())
    order = np.random.default_rng(1).permutation(30)
    np.testing.assert_allclose(
        mds(distances[np.ix_(order, order)]).coordinates, mds(distances).coordinates[order], rtol=0, atol=1e-7
    )


def test_rounding_on_the_diagonal_and_between_directions_is_forgiven():
    distances = not_euclidean()
    rounded = distances + 1e-11 * np.triu(np.ones((12, 12)))
    checked = DistanceMatrix.of(rounded).values
    np.testing.assert_array_equal(checked, checked.T)
    np.testing.assert_array_equal(np.diagonal(checked), 0)
    np.testing.assert_allclose(checked, distances, rtol=0, atol=1e-11)
    np.testing.assert_array_equal(mds(rounded).coordinates, mds(checked).coordinates)


# ---- what it refuses ----


def changed(*changes, symmetric=True):
    distances = between(cloud(14))
    for i, j, value in changes:
        distances[i, j] = value
        if symmetric:
            distances[j, i] = value
    return distances


NAN = float("nan")
REFUSED = [
    (changed((2, 5, NAN)), r"distances are NaN or infinite; leave out 1 of 14 networks: {2}$"),
    (changed(*((k, 3, NAN) for k in range(14))), r"leave out 1 of 14 networks: {3}$"),
    (changed((7, 9, float("inf")), (3, 4, NAN)), r"leave out 2 of 14 networks: {3}, {7}$"),
    (changed((9, 7, NAN), symmetric=False), r"leave out 1 of 14 networks: {7}$"),
    (
        changed(*((k, k + 1, NAN) for k in range(0, 14, 2))),
        r"leave out 7 of 14 networks: {0}, {2}, {4}, {6}, {8}, …$",
    ),
    (changed((4, 6, -0.5)), r"distances go down to -0.5 \(network {4}\); expected at least 0. Turn a similarity into"),
    (
        changed((4, 6, 100), symmetric=False),
        r"their transpose by .* \(networks {4}, {6}\); expected a symmetric matrix",
    ),
    (changed((5, 5, 1)), r"network {5} has distance 1 from itself; expected 0. Turn a similarity into a distance"),
    (np.eye(3), r"network {0} has distance 1 from itself; expected 0"),
    (np.ones((1, 1)), r"network {0} has distance 1 from itself; expected 0"),
]


@pytest.mark.parametrize(("distances", "message"), REFUSED)
@pytest.mark.parametrize("labelled", [False, True])
def test_what_is_not_a_distance_matrix_is_refused_by_name(distances, message, labelled):
    names = [f"net-{chr(97 + k)}" for k in range(len(distances))] if labelled else list(map(str, range(len(distances))))
    if labelled:
        distances = xr.DataArray(
            distances, dims=("network", "other_network"), coords={"network": names, "other_network": names}
        )
    for number, name in reversed(list(enumerate(names))):
        message = message.replace(f"{{{number}}}", name)
    with pytest.raises(ValueError, match=message):
        mds(distances)


@pytest.mark.parametrize("shape", [(3, 4), (3,), (2, 2, 2), (0,)])
def test_distances_that_are_not_square(shape):
    expected = str(shape).replace("(", r"\(").replace(")", r"\)")
    with pytest.raises(ValueError, match=rf"distances have shape {expected}; expected a square matrix"):
        mds(np.zeros(shape))


@pytest.mark.parametrize("dims", [0, -1])
def test_too_few_dimensions(dims):
    with pytest.raises(ValueError, match=f"dims is {dims}; expected at least 1"):
        mds(between(cloud()), dims=dims)
