"""Masks, names of axes and labels of samples are honoured or refused; few samples are warned of."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from dynatlas.measures.distances import distance, distance_matrix

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(60, 5))
Y = X @ RANDOM.normal(size=(5, 4)) + RANDOM.normal(size=(60, 4))
PLAIN = distance(X, Y, "cka")


@pytest.mark.parametrize(
    "activity",
    [
        xr.DataArray(X, dims=("time", "unit")),
        xr.DataArray(X.T, dims=("unit", "time")),
        xr.DataArray(X.T, dims=("neuron", "sample")),
        pd.DataFrame(X.T).rename_axis("neuron"),
        pd.DataFrame(X, index=pd.MultiIndex.from_product([range(6), range(10)])),
        np.ma.masked_array(X, mask=False),
    ],
)
def test_names_of_axes_are_honoured(activity):
    assert distance(activity, Y, "cka") == pytest.approx(PLAIN, abs=1e-12)


def test_masked_samples_are_refused():
    masked = np.ma.masked_array(X, mask=np.repeat(np.arange(60)[:, None] < 7, 5, axis=1))
    with pytest.raises(ValueError, match="network X has masked values in 7 of 60 samples; leave these samples out"):
        distance(masked, Y, "cka")


def test_samples_with_other_labels_are_refused():
    first, same = pd.DataFrame(X, index=np.arange(60) + 3), pd.DataFrame(Y, index=np.arange(60) + 3)
    assert distance(first, same, "cka") == pytest.approx(PLAIN)
    assert distance(first, Y, "cka") == pytest.approx(PLAIN)  # without labels, in order
    for other in (same[::-1], xr.DataArray(Y, dims=("time", "unit"), coords={"time": np.arange(60)})):
        with pytest.raises(ValueError, match="the samples of networks a and b have different labels"):
            distance_matrix({"a": first, "b": other}, "cka")


@pytest.mark.parametrize(
    ("measure", "options", "said"),
    [
        ("cka", {}, "biased cka is then small for any networks. Give more samples, or debiased=True"),
        ("cka", {"debiased": True}, ""),
        ("procrustes", {}, "a rotation then brings any networks near"),
        ("rsa", {}, ""),
    ],
)
def test_fewer_samples_than_units_are_warned_of(measure, options, said, recwarn):
    first, second = RANDOM.normal(size=(2, 20, 30))
    distance(first, second, measure, **options)
    expected = f"20 samples are fewer than the units of networks X, Y: {said}"
    assert [str(one.message)[: len(expected)] for one in recwarn] == [expected] * bool(said)
    distance(first[:, :20], second[:, :20], measure, **options)
    assert len(recwarn) == bool(said)
