"""Labels of networks: missing ones of every kind, and those that an index names."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from dynatlas.statistics.distance_matrix import DistanceMatrix
from dynatlas.statistics.neighbours import silhouette
from dynatlas.statistics.permanova import permanova

NAMES = [f"n{number}" for number in range(8)]
POINTS = np.random.default_rng(0).normal(size=(8, 3))
VALUES = np.linalg.norm(POINTS[:, None] - POINTS, axis=2)
DISTANCES = xr.DataArray(VALUES, dims=("network", "other_network"), coords={"network": NAMES})
GROUPS = list("abcdabcd")
SERIES = pd.Series(GROUPS, index=NAMES)


@pytest.mark.parametrize(
    "groups",
    [
        pd.Series(GROUPS).mask(pd.Series(GROUPS) == "a"),
        pd.array(["a", pd.NA] * 4),
        pd.array([1, pd.NA] * 4, dtype="Int64"),
        pd.Categorical(["a", None] * 4),
        np.ma.masked_array(GROUPS, mask=np.arange(8) == 0),
        [None, *GROUPS[1:]],
        [float("nan"), *GROUPS[1:]],
        [pd.NaT, *GROUPS[1:]],
    ],
)
def test_missing_labels_are_counted(groups):
    with pytest.raises(ValueError, match=r"groups has no label for [124] of 8 networks \(first: number [01]\); leave"):
        permanova(DISTANCES, groups)


def test_an_index_with_the_networks_names_orders_the_labels():
    expected = permanova(DISTANCES, GROUPS)
    for groups in (
        SERIES,
        SERIES[::-1],
        SERIES.sample(frac=1, random_state=0),
        pd.Series(GROUPS),
        pd.Categorical(GROUPS),
    ):
        assert permanova(DISTANCES, groups) == expected
    assert silhouette(DISTANCES, SERIES[::-1]) == silhouette(DISTANCES, GROUPS)
    assert permanova(DISTANCES, pd.Series(GROUPS, index=range(10, 18))) == expected  # no names of networks
    for wrong in (SERIES.rename({"n1": "zz"}), SERIES.rename({"n1": "n2"})):
        with pytest.raises(ValueError, match="the index of groups does not have the 8 networks of the distances"):
            permanova(DISTANCES, wrong)


def test_masked_distances_are_missing():
    with pytest.raises(ValueError, match="distances are NaN or infinite; leave out 1 of 8"):
        DistanceMatrix.of(np.ma.masked_array(VALUES, mask=np.add.outer(np.arange(8) == 3, np.arange(8) == 3)))


def test_labels_that_python_calls_unequal_are_different_levels():
    mixed = [1, "1", 1, "1", 2, 2, 2, 2]
    assert permanova(DISTANCES, mixed) == permanova(DISTANCES, list("abab") + list("cccc"))
    assert permanova(DISTANCES, [1, 1.0, np.int64(1), True, 2, 2, 2, 2]) == permanova(DISTANCES, list("aaaabbbb"))
    labels = np.empty(8, dtype=object)
    labels[:] = [{"a": 1}, *GROUPS[1:]]
    with pytest.raises(ValueError, match=r"groups has a label that cannot be compared .*; expected text or numbers"):
        permanova(DISTANCES, labels)
