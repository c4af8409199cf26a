"""Labels, masks, lengths and orders that stand beside a recording in its file."""

import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from dynatlas.errors import NetworkError
from dynatlas.recordings.formats.beside import with_others
from dynatlas.recordings.formats.windows import Window
from dynatlas.recordings.in_memory import plain
from dynatlas.recordings.reading import read_here

TRIALS, STEPS, UNITS = 4, 6, 3
RATES = np.random.default_rng(0).normal(size=(TRIALS, STEPS, UNITS))
SAMPLES = RATES.reshape(-1, UNITS)
TRIAL, TIME = np.divmod(np.arange(TRIALS * STEPS), STEPS)
SHUFFLED = np.random.default_rng(1).permutation(TRIALS * STEPS)


def npz(path, arrays):
    np.savez(path / "r.npz", **arrays)
    return path / "r.npz"


def hdf5(path, arrays):
    with h5py.File(path / "r.h5", "w") as file:
        for name, values in arrays.items():
            file[f"session/{name}"] = values
    return path / "r.h5"


def netcdf3(path, arrays):
    sizes = {size: f"d_{size}" for values in arrays.values() for size in np.shape(values)}
    named = {name: (tuple(sizes[size] for size in np.shape(each)), each) for name, each in arrays.items()}
    xr.Dataset(named).to_netcdf(path / "r.nc", engine="scipy")
    return path / "r.nc"


@pytest.mark.parametrize("write", [npz, hdf5, netcdf3])
class TestFiles:
    def test_shuffled_samples_are_sorted_by_trial_and_time(self, write, tmp_path):
        arrays = {"rates": SAMPLES, "trial_id": TRIAL, "time": 0.02 * TIME}
        path = write(tmp_path, {name: values[SHUFFLED] for name, values in arrays.items()})
        values, facts = read_here(path, series="rates")
        np.testing.assert_array_equal(values, RATES)
        assert facts[-1] == "rows in the order of trial and time"

    def test_axes_are_sorted_by_their_labels(self, write, tmp_path):
        path = write(tmp_path, {"rates": RATES[::-1, ::-1], "trial": np.arange(TRIALS)[::-1], "t": -np.arange(STEPS)})
        values, facts = read_here(path, series="rates")
        np.testing.assert_array_equal(values, RATES)
        assert set(facts[-2:]) == {"axis 0 sorted by trial", "axis 1 sorted by t"}


@pytest.mark.parametrize(
    ("values", "others", "expected"),
    [
        (SAMPLES, {"time": TIME}, RATES),  # the same times follow each other: trials
        (SAMPLES, {"time": np.arange(24)}, SAMPLES),
        (SAMPLES, {"time": np.arange(24)[:, None], "trial": TRIAL[:, None]}, RATES),  # vectors of MATLAB
        (SAMPLES, {"condition": TRIAL % 2}, SAMPLES),  # says nothing of the order
        (SAMPLES[:4], {"condition": np.array([3, 2, 1, 0])}, SAMPLES[3::-1]),
        (SAMPLES[:4], {"trial": np.array([3, 2, 1, 0])}, SAMPLES[3::-1]),
        (RATES, {"trial": np.array(["c", "a", "b", "d"]), "edges": np.arange(7), "dt": np.array(0.1)}, RATES),
        (RATES, {"mask": np.ones((TRIALS, STEPS), bool), "valid": np.ones(TRIALS), "index": np.arange(TRIALS)}, RATES),
        (RATES, {"lengths": np.full(TRIALS, STEPS), "mask_of_targets": np.array([0, 1] * 6).reshape(4, 3)}, RATES),
    ],
)
def test_labels_give_the_order_and_what_changes_nothing_is_accepted(values, others, expected):
    np.testing.assert_array_equal(with_others("r.npz", "rates", values, others)[0], expected)


@pytest.mark.parametrize(
    ("values", "others", "message"),
    [
        (SAMPLES, {"time": TIME[SHUFFLED]}, "has several rows of time .*; name the trial column 'trial'"),
        (SAMPLES[:-1], {"trial": TRIAL[:-1]}, "its trials have 5 to 6 rows"),
        (SAMPLES.T, {"time": np.arange(24)}, r"'time' has 24 values, as many as axis 1 of 'rates' \[3, 24\]"),
        (RATES.transpose(0, 2, 1), {"time": np.arange(6)}, r"as many as axis 2 of 'rates' \[4, 3, 6\]; expected"),
        (RATES, {"trial": np.array([0, 0, 1, 1])}, "'trial' has 2 different values for the 4 entries of axis 0"),
        (RATES, {"mask": np.arange(24).reshape(4, 6) < 20}, r"'mask' \[4, 6\] seems to say which of its values count"),
        (RATES, {"rates_mask": RATES > 0}, "seems to say which of its values count"),
        (RATES, {"good_units": np.array([1, 0, 1])}, "seems to say which of its values count"),
        (RATES, {"valid_trials": np.array([0, 2, 3])}, "seems to say which of its values count"),
        (SAMPLES, {"keep": TIME > 2}, "seems to say which of its values count"),
        (RATES, {"trial_length": np.array([6, 5, 6, 4])}, "seems to say how long each trial is"),
        (RATES, {"sort_idx": np.array([3, 2, 1, 0])}, "seems to be another order of its rows"),
        (SAMPLES, {"permutation": SHUFFLED + 1}, "seems to be another order of its rows"),
    ],
)
def test_what_changes_the_meaning_is_refused(values, others, message):
    with pytest.raises(NetworkError, match=message) as caught:
        with_others("r.npz", "rates", values, others)
    assert len(str(caught.value)) <= 500


def test_a_window_cuts_samples_with_labels():
    others = {"trial": TRIAL, "time": TIME}
    values, _ = with_others("r.npz", "rates", SAMPLES, others, Window(1, 4))
    np.testing.assert_array_equal(values, RATES[:, 1:4])
    with pytest.raises(NetworkError, match="no trial and time for each sample of 'rates', which the window needs"):
        with_others("r.npz", "rates", RATES, {}, Window(1, 4))


@pytest.mark.parametrize("has_index", [True, False])
def test_coordinates_along_the_samples_of_xarray(has_index):
    """As after stacking trials and times, and as labels that are no index."""
    index = pd.MultiIndex.from_arrays([TRIAL[SHUFFLED], TIME[SHUFFLED]], names=["trial", "time"])
    coordinates = {"trial": ("sample", TRIAL[SHUFFLED]), "time": ("sample", TIME[SHUFFLED])}
    if has_index:
        coordinates = xr.Coordinates.from_pandas_multiindex(index, "sample")
    array = xr.DataArray(SAMPLES[SHUFFLED].T, dims=("unit", "sample"), coords=coordinates)
    np.testing.assert_array_equal(plain(array, "r")[0], RATES)
