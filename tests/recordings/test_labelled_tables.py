"""Which columns and axes are units, which are labels, and that rows are sorted or refused."""

import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from dynatlas.errors import NetworkError
from dynatlas.recordings.formats.windows import Window, parse_window
from dynatlas.recordings.in_memory import plain
from dynatlas.recordings.reading import read_here

COUNTS = np.random.default_rng(0).poisson(3, size=(4, 5, 6)).astype(float)
TRIAL, STEP = np.divmod(np.arange(20), 5)
UNITS = pd.DataFrame(COUNTS.reshape(20, 6), columns=[f"neuron_{unit}" for unit in range(6)])
LETTERS = UNITS.set_axis(list("abcdef"), axis=1)
LABELLED = UNITS.assign(trial=TRIAL, time=STEP)
RAGGED = pd.concat(
    [UNITS.assign(trial=TRIAL, time=0.1 * STEP, go=0.1), UNITS[:2].assign(trial=[0, 3], time=0.5, go=0.1)],
    ignore_index=True,
)
INDEXED = UNITS.set_axis(pd.MultiIndex.from_arrays([TRIAL, STEP], names=["trial_id", "bin"]))
LEVELS = INDEXED.set_axis(pd.MultiIndex.from_product([["spikes"], range(1001, 1007)]), axis=1)


@pytest.mark.filterwarnings("ignore:The DataFrame has column names of mixed type")
@pytest.mark.parametrize(
    "frame",
    [
        LABELLED,
        LABELLED.sample(frac=1, random_state=0),
        UNITS.assign(trial_id=TRIAL, align_time=0.02 * STEP - 0.2, clock_time=3 * TRIAL + 0.02 * STEP),
        UNITS.assign(TrialNumber=TRIAL, time_bin=STEP, stim=COUNTS.ravel()[:20], correct=TRIAL > 1, session=3),
        UNITS.assign(trial=TRIAL, trial_id=TRIAL + 7, step=STEP, hippo=STEP),
        LETTERS.assign(trial=TRIAL, time=STEP),
        LETTERS.assign(trial=TRIAL, time=STEP, reaction_time=COUNTS.ravel()[:20]),
        LETTERS.set_axis([f"sig00{unit}a" for unit in range(6)], axis=1).assign(trial=TRIAL, time=STEP),
        INDEXED,
        INDEXED.sample(frac=1, random_state=1),
        LEVELS,
        LEVELS.assign(stim=TRIAL),
    ],
)
def test_units_are_the_columns_named_so_and_rows_are_sorted_by_labels(frame, tmp_path):
    values, facts = plain(frame, "r")
    np.testing.assert_array_equal(values, COUNTS)
    assert facts[0].startswith("columns as units: 6 (")
    frame.to_parquet(tmp_path / "r.parquet")
    values, stored = read_here(tmp_path / "r.parquet")
    np.testing.assert_array_equal(values, COUNTS)
    assert stored == facts


def test_what_is_left_out_is_told():
    _, facts = plain(LABELLED.assign(stim=1, hippo=2.0), "r")
    assert "columns not taken as units: 2 (stim, hippo)" in facts


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (UNITS.sample(frac=1, random_state=0), "its rows are not in the order of their index, such as 18 in the first"),
        (UNITS.T.rename_axis("neuron"), "its index 'neuron' names a unit for each row.*transpose it"),
        (LETTERS.assign(q=np.arange(20.0)), "'q' changes in one direction over all rows, like a clock"),
        (LETTERS.assign(q=2.0 * TRIAL, trial=TRIAL), "'q' has one value in each trial"),
        (LETTERS.assign(q=2.0 * STEP, trial=TRIAL), "'q' has the same course in each trial, like a time"),
        (LETTERS.rename(columns={"a": "n1"}), "the column 'b' is no label that is known, and not numbered as 'n1' is"),
        (UNITS.assign(trial=TRIAL % 2, session=TRIAL // 2), "2 different values of session, and trials with the same"),
        (UNITS.assign(subject=TRIAL), "4 different values of subject, and no trials"),
        (UNITS.assign(trial=TRIAL, trial_id=TRIAL // 2), "has two different trials, trial and trial_id"),
        (
            UNITS.assign(trial=TRIAL, time=STEP, clock_time=-STEP),
            "times time and clock_time order the rows differently",
        ),
        (UNITS + 1j, "columns that are not numeric: neuron_0"),
        (
            LABELLED.melt(["trial", "time"], var_name="unit", value_name="count"),
            r"is a long table: 'unit' names the unit of each row.*frame.pivot",
        ),
        (RAGGED, r"its trials have 5 to 6 rows.*--window 0:0.6, --align EVENT"),
    ],
)
def test_what_is_ambiguous_is_refused(frame, message):
    with pytest.raises(NetworkError, match=message) as caught:
        plain(frame, "r")
    assert len(str(caught.value)) <= 500


def test_ragged_trials_are_cut_to_a_window_around_an_event(tmp_path):
    for window in (Window(-0.1, 0.4, "go"), Window(0, 0.5)):
        values, facts = plain(RAGGED, "r", window)
        np.testing.assert_array_equal(values, COUNTS)
        assert facts[-1] == ("times from -0.1 to 0.4 around go" if window.event else "times from 0 to 0.5")
    RAGGED.to_csv(tmp_path / "r.csv", index=False)
    np.testing.assert_array_equal(read_here(tmp_path / "r.csv", window=(0.0, 0.2, "go"))[0], COUNTS[:, 1:3])
    for window, message in (
        (Window(0.5, 0.7), "2 trials of 4 have no times from 0.5 to 0.7, such as trial 1"),
        (Window(0, 1, "cue"), "no column of numbers called 'cue'; it has neuron_0"),
    ):
        with pytest.raises(NetworkError, match=message):
            plain(RAGGED, "r", window)
    with pytest.raises(NetworkError, match="go is empty in 22 rows; leave out the trials"):
        plain(RAGGED.assign(go=np.nan), "r", Window(0, 1, "go"))


def test_windows_are_checked():
    assert Window.of("go", parse_window("-0.2:0.6")) == (-0.2, 0.6, "go")
    assert Window.of(None, None) is None
    for align, window, message in (("go", None, "window is not set"), (None, (1, 0), "begin < end")):
        with pytest.raises(NetworkError, match=message):
            Window.of(align, window)
    with pytest.raises(NetworkError, match="window is '0-1'; expected begin:end"):
        parse_window("0-1")


def test_a_list_of_trials_keeps_its_masks_and_needs_one_shape():
    masked = np.ma.masked_greater(np.array([[1.0, 2.0], [3.0, 1e20]]), 1e19)
    np.testing.assert_array_equal(plain([masked, masked], "r")[0][1], [[1, 2], [3, np.nan]])
    np.testing.assert_array_equal(plain([[1.0, 2.0], [3.0, 4.0]], "r")[0], [[1, 2], [3, 4]])
    with pytest.raises(NetworkError, match="r is a list of trials of different shapes; cut each to the same window"):
        plain([np.ones((5, 3)), np.ones((4, 3))], "r")


@pytest.mark.parametrize(
    "array",
    [
        xr.DataArray(COUNTS.transpose(2, 0, 1), dims=("neuron", "trial", "time")),
        xr.DataArray(COUNTS.transpose(1, 2, 0), dims=("bins", "units", "trials")),
        xr.DataArray(COUNTS[::-1], dims=("trial", "time", "unit"), coords={"trial": [3, 2, 1, 0]}),
        xr.DataArray(COUNTS),
        np.ma.masked_array(COUNTS, mask=False),
    ],
)
def test_axes_with_names_are_put_in_order(array):
    np.testing.assert_array_equal(plain(array, "r")[0], COUNTS)


def test_masked_values_are_missing_and_unknown_axes_refused():
    values, _ = plain(np.ma.masked_array(COUNTS.astype(int), mask=COUNTS > 5), "r")
    np.testing.assert_array_equal(np.isnan(values), COUNTS > 5)
    with pytest.raises(NetworkError, match="has the axes foo, time, unit, of the sizes"):
        plain(xr.DataArray(COUNTS, dims=("foo", "time", "unit")), "r")
    with pytest.raises(NetworkError, match="is a Dataset of a; choose one"):
        plain(xr.Dataset({"a": ("x", [1])}), "r")


def netcdf4(path, array):
    """Write dimensions as NetCDF 4 does, as scales of HDF5."""
    with h5py.File(path, "w") as file:
        file["rates"] = array.values
        for axis, name in enumerate(array.dims):
            file[name] = array.coords[name].values if name in array.coords else np.zeros(array.shape[axis])
            file[name].make_scale(name)
            file["rates"].dims[axis].attach_scale(file[name])


@pytest.mark.parametrize("write", [lambda path, array: array.to_netcdf(path, engine="scipy"), netcdf4])
def test_dimensions_of_netcdf_are_honoured(write, tmp_path):
    array = xr.DataArray(
        COUNTS.transpose(2, 0, 1)[:, ::-1], dims=("unit", "trial", "time"), coords={"trial": [3, 2, 1, 0]}, name="rates"
    )
    write(tmp_path / "r.nc", array)
    values, facts = read_here(tmp_path / "r.nc")
    np.testing.assert_array_equal(values, COUNTS)
    assert facts == (
        "variable rates",
        "axes unit, trial, time put in the order trial, time, unit",
        "trial sorted by its coordinates",
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("unit_0;unit_1\n1;2\n3;4\n", [[1, 2], [3, 4]]),
        ("unit_0;unit_1\n1,5;2\n3;4\n", [[1.5, 2], [3, 4]]),
        ("0,1\n1,2\n3,4\n", [[1, 2], [3, 4]]),
        ("1.5,2.5\n1,2\n", "its first line has only numbers, such as '1.5'"),
        ("3,7\n1,2\n", "its first line has only numbers"),
        ("spikes,spikes,trial_id\n1,2,\n1,2,0\n", "2 columns called 'spikes'.*several lines of names"),
        ('unit_0,unit_1\n1,"2\n', "a quotation mark in line 2 is not closed there"),
    ],
)
def test_first_lines_of_csv(text, expected, tmp_path):
    (tmp_path / "r.csv").write_text(text)
    if isinstance(expected, list):
        np.testing.assert_array_equal(read_here(tmp_path / "r.csv")[0], expected)
        return
    with pytest.raises(NetworkError, match=expected):
        read_here(tmp_path / "r.csv")


SAMPLES = np.random.default_rng(2).poisson(4, size=(40, 4))
NAMED = pd.DataFrame(SAMPLES, columns=["aa", "bb", "cc", "dd"])
OF_TRIAL, OF_TIME = np.divmod(np.arange(40), 10)


@pytest.mark.parametrize(
    ("added", "message"),
    [
        ({"valid": OF_TIME > 1}, "'valid' is 1 in 32 of 40 rows, and seems to say which of them count"),
        ({"idx": np.roll(np.arange(40), 3)}, "'idx' numbers the rows in another order"),
        ({"x": np.linspace(-1, 1, 40) ** 2}, "'x' has fractions or negative numbers, unlike all the others"),
        (
            {"trial": OF_TRIAL, "time": OF_TIME, "ee": OF_TIME % 3},
            "'ee' has the same course in each trial, like a time or a cue",
        ),
        ({"ee": (OF_TRIAL + OF_TIME) % 2}, "'ee' has only zeros and ones, unlike all the others"),
        ({"trial": [f"t{n % 3}" for n in OF_TIME]}, "the rows of trials are mixed"),
    ],
)
def test_values_that_only_labels_have_are_refused(added, message):
    with pytest.raises(NetworkError, match=message):
        plain(NAMED.assign(**added), "r")


def test_a_dataframe_of_pandas_in_hdf5_is_refused_and_labels_of_anndata_sort(tmp_path):
    with h5py.File(tmp_path / "pandas.h5", "w") as file:
        file["df/axis1"], file["df/block0_values"] = np.arange(5), np.ones((5, 3))
    with pytest.raises(NetworkError, match="is a part of a DataFrame that pandas saved with to_hdf"):
        read_here(tmp_path / "pandas.h5")
    order = np.random.default_rng(0).permutation(40)
    with h5py.File(tmp_path / "a.h5ad", "w") as file:
        file["X"], file["obs/trial"], file["obs/time"] = SAMPLES[order], OF_TRIAL[order], OF_TIME[order]
    np.testing.assert_array_equal(read_here(tmp_path / "a.h5ad")[0], SAMPLES.reshape(4, 10, 4))


def test_arrays_that_hold_no_numbers_are_left_out_and_named(tmp_path):
    np.savez(tmp_path / "r.npz", rates=COUNTS, names=np.array(["a", None], object), phase=np.ones(3) * 1j)
    values, facts = read_here(tmp_path / "r.npz")
    np.testing.assert_array_equal(values, COUNTS)
    assert facts == ("array rates", "not read, since they hold no numbers: names, phase")
    with pytest.raises(NetworkError, match=r"complex128; expected numbers. To place it, save an array of numbers"):
        read_here(tmp_path / "r.npz", series="phase")
