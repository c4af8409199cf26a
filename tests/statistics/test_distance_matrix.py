"""Distances that were validated give the results of those that were not."""

import numpy as np
import pytest
import xarray as xr
from scipy.spatial.distance import pdist, squareform

from dynatlas import mds, permanova
from dynatlas.statistics.dispersion import permdisp
from dynatlas.statistics.distance_matrix import DistanceMatrix
from dynatlas.statistics.effects import decomposition, factor_effects
from dynatlas.statistics.embedding import negative_share
from dynatlas.statistics.neighbours import accuracy_without_each, nearest_neighbour_accuracy, silhouette

LEVELS = np.tile([0, 0, 1], 8)
LABELS = {"architecture": LEVELS.tolist(), "units": np.repeat([8, 16], 12).tolist()}


def rounded(n=24):
    """Distances that are symmetric but for rounding."""
    distances = squareform(pdist(np.random.default_rng(0).normal(size=(n, 3))))
    return distances * (1 + 1e-12 * np.random.default_rng(1).normal(size=(n, n)))


@pytest.mark.parametrize(
    "statistic",
    [
        mds,
        negative_share,
        lambda distances: permanova(distances, LEVELS, permutations=50),
        lambda distances: silhouette(distances, LEVELS),
        lambda distances: nearest_neighbour_accuracy(distances, LEVELS, 50),
        lambda distances: accuracy_without_each(distances, LEVELS),
        lambda distances: permdisp(distances, LEVELS, None, 20),
        lambda distances: decomposition(distances, LABELS, 20),
        lambda distances: factor_effects(distances, LABELS, 20, 20),
    ],
)
def test_every_statistic_takes_both_and_changes_neither(statistic):
    distances = rounded()
    matrix, before = DistanceMatrix.of(distances), distances.copy()
    values = matrix.values.copy()
    # Twice, as squares and neighbours are kept.
    for seen in (statistic(matrix), statistic(matrix), statistic(matrix.values)):
        np.testing.assert_equal(seen, statistic(distances))
    np.testing.assert_array_equal(distances, before)
    np.testing.assert_array_equal(matrix.values, values)


def test_what_was_validated_cannot_be_changed():
    distances = rounded()
    matrix = DistanceMatrix.of(distances)
    with pytest.raises(ValueError, match="read-only"):
        matrix.values[0, 1] = -1
    distances[0, 1] = -1
    assert matrix.values[0, 1] > 0


def test_networks_have_the_names_that_the_distances_carry():
    names = ["c", "a", "b"]
    coordinates = {"network": names, "other_network": names}
    labelled = xr.DataArray(1 - np.eye(3), dims=("network", "other_network"), coords=coordinates)
    assert DistanceMatrix.of(labelled).labels == ("c", "a", "b")
    assert DistanceMatrix.of(labelled.values.tolist()).labels == ("0", "1", "2")
    assert DistanceMatrix.of(np.zeros((0, 0))).labels == ()
