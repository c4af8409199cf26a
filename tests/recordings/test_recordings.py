"""Recordings out of files, whole and hostile, and which of the probe's samples their rows are."""

import itertools
import os
import pickle
import struct
import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dynatlas.errors import NetworkError
from dynatlas.recordings.alignment import align
from dynatlas.recordings.probe import probe_of, write_probe
from dynatlas.recordings.reading import Recording, read_here, read_labels
from dynatlas.tasks.context_integration import ContextIntegration
from dynatlas.tasks.flip_flop import FlipFlop
from dynatlas.tasks.sine_wave import SineWave


def read_recording(path, **options):
    """Read without another process, in which memory could not be watched."""
    return Recording(*read_here(path, **options))


DATA = Path(__file__).parents[1] / "data"
# What record_neuro.py wrote: counts of 4 trials, 5 steps and 3 units.
COUNTS = np.fromfunction(lambda trial, step, unit: (trial + 2 * step + 3 * unit) % 4, (4, 5, 3))
SAMPLES = np.arange(60.0)[:, None] + 100 * np.arange(2)
HUGE = 2**40
PROBE = probe_of(FlipFlop(channels=2, steps=6, probe_trials=8, pulse_probability=0.3))


def long_table(values):
    """A row for each sample, in a wrong order, with labels of trial and time."""
    trial, time = np.divmod(np.arange(values.shape[0] * values.shape[1]), values.shape[1])
    frame = pd.DataFrame(values.reshape(len(trial), -1), columns=[f"unit {unit}" for unit in range(values.shape[2])])
    return frame.assign(trial=trial, time=0.1 * time).sample(frac=1, random_state=0)


class TestFormats:
    @pytest.fixture
    def written(self, tmp_path):
        """The same activity in every format that tests can write."""
        np.save(tmp_path / "a.npy", COUNTS)
        np.save(tmp_path / "fortran.npy", np.asfortranarray(COUNTS))
        np.savez(tmp_path / "a.npz", activity=COUNTS, time=np.arange(5), more=COUNTS[0], unit=np.array(["a", "b"]))
        long_table(COUNTS).to_parquet(tmp_path / "a.parquet")
        long_table(COUNTS).to_csv(tmp_path / "a.csv", index=False)
        long_table(COUNTS).to_csv(tmp_path / "a.tsv", index=False, sep="\t")
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file["group/recording"] = COUNTS
            file["other"] = COUNTS
        return tmp_path

    def test_all_read_the_same(self, written):
        files = sorted(written.iterdir())
        assert len(files) == 7
        for path in files:
            np.testing.assert_array_equal(read_recording(path).values, COUNTS, err_msg=path.name)

    @pytest.mark.parametrize("version", [3, 4])
    def test_netcdf_as_its_own_library_writes_it(self, version):
        values, facts = read_recording(DATA / f"rates_{version}.nc")
        np.testing.assert_allclose(values, COUNTS / 2)
        assert facts == ("variable rates",)

    def test_a_missing_value_of_netcdf_is_nan_and_refused_later(self, tmp_path):
        with h5py.File(tmp_path / "a.nc", "w") as file:
            file["rates"] = COUNTS
            file["rates"].attrs["_FillValue"] = 3.0
        values, _ = read_recording(tmp_path / "a.nc")
        np.testing.assert_array_equal(np.isnan(values), COUNTS == 3)
        with pytest.raises(NetworkError, match=r"NaN or infinity in 3 of 3 units \(first: unit 0\)"):
            align(values, PROBE, "a.nc")

    def test_spikes_of_nwb_are_counted_in_each_trial(self):
        values, facts = read_recording(DATA / "trials.nwb", bin_width=0.1)
        np.testing.assert_array_equal(values, COUNTS)
        assert facts == ("spikes of 3 units in bins of 0.1 s, from the start of each of 4 trials",)

    @pytest.mark.parametrize(
        ("series", "first"), [("rates", [10, 20, 30, 40]), ("processing/behavior/late", [10, 20, 30, 40])]
    )
    def test_a_time_series_of_nwb_is_cut_into_trials(self, series, first):
        values, facts = read_recording(DATA / "trials.nwb", series=series)
        expected = np.stack([SAMPLES[start : start + 5] for start in first])
        np.testing.assert_array_equal(values, expected)
        assert facts[1] == "cut into 4 trials"

    def test_trials_that_are_cut_to_the_shortest_are_told_of(self, tmp_path):
        (tmp_path / "a.nwb").write_bytes((DATA / "trials.nwb").read_bytes())
        with h5py.File(tmp_path / "a.nwb", "a") as file:
            file["intervals/trials/stop_time"][0] += 0.1
        values, facts = read_recording(tmp_path / "a.nwb", bin_width=0.1)
        np.testing.assert_array_equal(values, COUNTS)
        assert facts[1] == "1 of 4 trials have one more and were cut to 5 bins of 0.1 s"
        values, facts = read_recording(tmp_path / "a.nwb", series="rates")
        assert values.shape == (4, 5, 2)
        assert facts[2] == "1 of 4 trials have one more and were cut to 5 samples"

    def test_an_nwb_file_without_trials_is_read_whole(self, tmp_path):
        with h5py.File(DATA / "trials.nwb") as source, h5py.File(tmp_path / "whole.nwb", "w") as target:
            target.attrs["nwb_version"] = source.attrs["nwb_version"]
            for name in ("units", "acquisition"):
                source.copy(name, target)
        np.testing.assert_array_equal(read_recording(tmp_path / "whole.nwb", series="rates").values, SAMPLES)
        values, (said,) = read_recording(tmp_path / "whole.nwb", bin_width=0.1)
        assert said.endswith("from 0 to the last spike")
        np.testing.assert_array_equal(values[10:15], COUNTS[0])
        assert values.shape == (47, 3)

    def test_a_table_of_conditions_is_put_in_their_order(self, tmp_path):
        frame = pd.DataFrame({"condition": [2, 0, 1], "a": [7.0, 5.0, 6.0], "b": [1, 2, 3]})
        frame.to_parquet(tmp_path / "a.parquet")
        values, facts = read_recording(tmp_path / "a.parquet")
        np.testing.assert_array_equal(values, [[5, 2], [6, 3], [7, 1]])
        assert facts == ("columns as units: 2 (a, b)", "rows in the order of condition")

    def test_labels_are_known_in_any_capitals_and_as_an_index(self, tmp_path):
        long_table(COUNTS).rename(columns={"trial": "Trial", "time": " TIME"}).to_csv(tmp_path / "a.csv", index=False)
        frame = long_table(COUNTS)
        frame.set_index("trial").to_parquet(tmp_path / "one.parquet")
        frame.set_index(["trial", "time"]).to_parquet(tmp_path / "two.parquet")
        frame.set_index("trial", drop=False).rename_axis("day").to_parquet(tmp_path / "other.parquet")
        frame.set_axis(np.zeros(len(frame), int)).to_parquet(tmp_path / "repeated.parquet")
        for path in sorted(tmp_path.iterdir()):
            np.testing.assert_array_equal(read_recording(path).values, COUNTS, err_msg=path.name)

    @pytest.mark.parametrize("ending", ["csv", "parquet"])
    def test_trials_with_names_stay_in_the_order_of_the_file(self, ending, tmp_path):
        names = [f"trial_{number}" for number in (1, 10, 2, 3)]
        frame = long_table(COUNTS).sort_values(["trial", "time"]).replace({"trial": dict(enumerate(names))})
        frame.to_csv(tmp_path / "a.csv", index=False)
        frame.astype({"trial": "category"}).to_parquet(tmp_path / "a.parquet")
        values, facts = read_recording(tmp_path / f"a.{ending}")
        np.testing.assert_array_equal(values, COUNTS)
        assert facts[1] == "rows in the order of trial and time, trials in order of first appearance"

    def test_rows_of_a_trial_without_times_stay_in_the_order_of_the_file(self, tmp_path):
        long_table(COUNTS).sort_values(["time", "trial"]).drop(columns="time").to_csv(tmp_path / "a.csv", index=False)
        np.testing.assert_array_equal(read_recording(tmp_path / "a.csv").values, COUNTS)

    def test_rows_are_read_from_npy_and_npz(self, tmp_path):
        rows = np.arange(6).reshape(2, 3)
        np.save(tmp_path / "rows.npy", rows)
        np.savez(tmp_path / "rows.npz", rows=rows, other=rows)
        for name in ("rows.npy", "rows.npz"):
            np.testing.assert_array_equal(read_labels(tmp_path / name), rows)
        np.save(tmp_path / "floats.npy", rows / 2)
        with pytest.raises(NetworkError, match="is of the type float64; expected integers"):
            read_labels(tmp_path / "floats.npy")


def netcdf3(dimension, count):
    """A classic file whose header says what it likes: one variable with one dimension."""
    name = struct.pack(">i4s", 1, b"x\0\0\0")
    dimensions = struct.pack(">ii", 10, 1) + name + struct.pack(">i", dimension)
    variable = name + struct.pack(">iiiiiii", 1, 0, 0, 0, 6, count, 80)
    return (
        b"CDF\x01" + struct.pack(">i", 0) + dimensions + struct.pack(">ii", 0, 0) + struct.pack(">ii", 11, 1) + variable
    )


class Bomb:
    def __init__(self, folder):
        self.mark = str(folder / "executed")

    def __reduce__(self):
        return (os.mkdir, (self.mark,))


class TestHostile:
    @pytest.fixture
    def watched(self, tmp_path):
        """Nothing may be executed, and nothing large allocated."""
        tracemalloc.start()
        yield tmp_path
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert not (tmp_path / "executed").exists()
        assert peak < 50e6

    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("a.npy", b"\x93NUMPY\x01\x00", "header is not an array header"),
            ("a.nc", b"CDF\x01", "is damaged, or is not NetCDF"),
            ("a.nc", b"CDF\x05" + bytes(100), "holds no array of numbers"),
            ("a.nc", netcdf3(2**31 - 1, 2**31 - 8), "is damaged, or is not NetCDF"),
            ("a.nc", b"CDF\x01" + struct.pack(">iii", 0, 10, 2**31 - 1), "is damaged, or is not NetCDF"),
            ("a.nc", b"CDF\x01" + struct.pack(">iiii", 0, 10, 1, 2**31 - 1), "is damaged, or is not NetCDF"),
            ("a.nc", b"\x89HDF\r\n\x1a\n" + bytes(50), "is damaged or truncated"),
            ("a.parquet", b"PAR1" + bytes(50) + b"PAR1", "is damaged or truncated"),
            ("a.parquet", b"PAR1" + struct.pack("<I", 2**31) + b"PAR1", "is damaged or truncated"),
            ("a.csv", b"", "is not a table"),
            ("a.csv", b"a,b\n1,x\n", "has columns that are not numeric: b; expected a column for each unit"),
            ("a.csv", b"trial,time\n1,2\n", "has no column of numbers"),
            ("a.csv", b"trial,a\n1,2\n1,3\n2,5\n", "its trials have 1 to 2 rows"),
            ("a.csv", b",a\n0,1\n1,2\n", r"column 1 has no name .''.*save the table with index=False"),
            ("a.csv", b"trial,a, \n1,2,3\n", "column 3 has no name"),
            ("a.csv", b"a\n1,2\n", "more values in a row than names"),
            ("a.csv", b"Trial,trial,a\n1,1,2\n", "has 2 columns called 'trial'"),
            ("a.csv", b"step,a\n0,1\n1,2\n0,3\n", "has several rows of step 0.*; name the trial column 'trial'"),
            (
                "a.csv",
                b"trial,time,a\n0,0,1\n0,0,2\n",
                "several rows of trial 0.* and time 0.*number the trials",
            ),
            ("a.csv", b"condition,a\n0,1\n0,2\n", "several rows of condition 0; expected one row for each: average"),
            ("a.csv", b"condition,a\nleft,1\nright,2\n", "condition is text, such as 'left', whose order is unknown"),
            ("a.csv", b"time,a\n0 s,1\n1 s,2\n", "time is text, such as '0 s'.*expected numbers"),
            ("a.csv", b"trial,a\n0,1\n,2\n", "trial is empty in 1 rows"),
            ("a.txt", b"1 2 3", r"is no recording of a supported format; expected a recording: .npy"),
            ("a.mat", b"MATLAB 5.0 MAT-file", "holds no array of numbers|is damaged or truncated"),
        ],
    )
    def test_damaged_files(self, name, content, message, watched):
        (watched / name).write_bytes(content)
        with pytest.raises(NetworkError, match=message) as caught:
            read_recording(watched / name)
        assert str(watched / name) in str(caught.value)

    def test_pickles(self, watched):
        np.save(watched / "a.npy", np.array([Bomb(watched)], dtype=object), allow_pickle=True)
        (watched / "a.pkl").write_bytes(pickle.dumps(Bomb(watched)))
        for name, message in (("a.npy", "holds pickled Python objects"), ("a.pkl", "is no recording")):
            with pytest.raises(NetworkError, match=message):
                read_recording(watched / name)

    def test_links_and_folders(self, watched):
        np.save(watched / "a.npy", COUNTS)
        (watched / "link.npy").symlink_to(watched / "a.npy")
        np.testing.assert_array_equal(read_recording(watched / "link.npy").values, COUNTS)
        with pytest.raises(NetworkError, match="is a folder; expected a recording"):
            read_recording(watched)

    def test_sizes_are_checked_before_anything_is_read(self, watched):
        with h5py.File(watched / "a.h5", "w") as file:
            file.create_dataset("rates", (HUGE, 100), "f8", chunks=(10, 10))
        with h5py.File(watched / "links.h5", "w") as file:
            file["rates"] = h5py.ExternalLink("a.h5", "rates")
            file["soft"] = h5py.SoftLink("/rates")
        with h5py.File(watched / "outside.h5", "w") as file:
            file.create_dataset("rates", (10, 10), "f8", external=[("/etc/passwd", 0, 800)])
        table = pd.DataFrame({name: np.zeros(400_000, np.int8) for name in map(str, range(700))})
        table.to_parquet(watched / "a.parquet")
        del table
        for name, message in (
            ("a.h5", r"'rates' has the shape \(1099511627776, 100\) and would take"),
            ("links.h5", "holds no array of numbers: nothing"),
            ("outside.h5", "stores its values in another file"),
            ("a.parquet", r"'table' has the shape \(400000, 700\) and would take 2.24e\+09 bytes"),
        ):
            tracemalloc.reset_peak()
            with pytest.raises(NetworkError, match=message):
                read_recording(watched / name)

    def test_text_in_parquet_takes_no_more_than_it_takes_there(self, watched):
        """A long text in each of many rows is a few bytes of the file, and would be 4 GB."""
        texts = pa.DictionaryArray.from_arrays(np.zeros(40_000, np.int32), ["x" * 100_000])
        for name in ("trial", "note"):
            pq.write_table(pa.table({name: texts, "a": np.zeros(40_000)}), watched / f"{name}.parquet")
        pa_peak = pa.default_memory_pool().max_memory()
        with pytest.raises(NetworkError, match="has columns that are not numeric: note"):
            read_recording(watched / "note.parquet")
        assert read_recording(watched / "trial.parquet").values.shape == (1, 40_000, 1)
        assert pa.default_memory_pool().max_memory() < pa_peak + 100e6
        pq.write_table(
            pa.table({"trial": ["x" * 1000] * 9, "a": np.zeros(9)}),
            watched / "b.parquet",
            use_dictionary=False,
            column_encoding={"trial": "DELTA_BYTE_ARRAY"},
        )
        with pytest.raises(NetworkError, match="'trial' is text in the encoding DELTA_BYTE_ARRAY"):
            read_recording(watched / "b.parquet")

    @pytest.mark.parametrize(
        ("change", "options", "message"),
        [
            ({}, {"bin_width": 1e-12}, "would take"),
            ({}, {"bin_width": -1.0}, "bin_width is -1.0"),
            ({}, {}, r"has spikes, which are counted in bins, and bin_width is None; set the width"),
            ({}, {"bin_width": 0.1, "series": "rates"}, "not both"),
            ({}, {"bin_width": 2.0}, "its trials have 0 to 0 bins"),
            ({}, {"series": "rate"}, r"has no arrays called 'rate'; it has: acquisition/rates"),
            (
                {"intervals/trials/stop_time": [1.5, 2.5, 3.5, 1e300]},
                {"bin_width": 0.1},
                r"is NaN or more than 2\^53 bins",
            ),
            ({"intervals/trials/stop_time": [1.5, 2.5, 3.5, 4.9]}, {"bin_width": 0.1}, "its trials have 5 to 9 bins"),
            ({"units/spike_times_index": [2**40, 5, 7]}, {"bin_width": 0.1}, "does not fit"),
        ],
    )
    def test_nwb(self, change, options, message, watched):
        path = watched / "a.nwb"
        path.write_bytes((DATA / "trials.nwb").read_bytes())
        with h5py.File(path, "a") as file:
            for name, values in change.items():
                del file[name]
                file[name] = np.array(values)
        with pytest.raises(NetworkError, match=message):
            read_recording(path, **options)

    def test_what_an_nwb_file_says_of_time_is_checked_before_it_is_used(self, watched):
        for name, start in (
            ("outside", {"external": [("/etc/passwd", 0, 8)], "shape": (1,)}),
            ("wide", {"shape": (9,)}),
        ):
            with h5py.File(watched / f"{name}.nwb", "w") as file:
                file.attrs["nwb_version"] = "2"
                file["intervals/trials/start_time"], file["intervals/trials/stop_time"] = [0.0], [1.0]
                file["acquisition/rates/data"] = SAMPLES
                file.create_dataset("acquisition/rates/starting_time", dtype="f8", **start).attrs["rate"] = 10.0
        with pytest.raises(NetworkError, match="starting_time' stores its values in another file"):
            read_recording(watched / "outside.nwb")
        with pytest.raises(NetworkError, match=r"starting_time has the shape \[9\]; expected a number"):
            read_recording(watched / "wide.nwb")
        with h5py.File(watched / "late.nwb", "w") as file:
            file.attrs["nwb_version"] = "2"
            file["units/spike_times"], file["units/spike_times_index"] = [1e12], [1]
        with pytest.raises(NetworkError, match=r"'counts of spikes' has the shape .* and would take"):
            read_recording(watched / "late.nwb", bin_width=0.02)

    def test_bins_are_for_nwb_alone_and_a_name_must_fit(self, watched):
        np.savez(watched / "a.npz", one=COUNTS, two=COUNTS)
        with pytest.raises(NetworkError, match=r"is no NWB file: it has no spikes to count in bins of 0\.1"):
            read_recording(watched / "a.npz", bin_width=0.1)
        with pytest.raises(NetworkError, match=r"holds several arrays: one \[4, 5, 3\], two \[4, 5, 3\]"):
            read_recording(watched / "a.npz")


class TestAlignment:
    def test_rows_are_the_samples_with_or_without_an_axis_of_trials(self):
        values = np.random.default_rng(0).normal(size=(8, 6, 5))
        flat = values.reshape(48, 5)
        for given in (values, flat):
            aligned = align(given, PROBE, "r")
            np.testing.assert_array_equal(aligned.activity, flat)
            np.testing.assert_array_equal(aligned.rows.of(flat), flat)
            assert aligned.rows.trials == 8
        even, odd = aligned.rows.halves()
        np.testing.assert_array_equal(flat[even], values[::2].reshape(-1, 5))
        np.testing.assert_array_equal(flat[odd], values[1::2].reshape(-1, 5))

    def test_means_over_conditions_are_those_of_each_condition(self):
        flat = np.random.default_rng(0).normal(size=(48, 5))
        means = [flat[PROBE.condition.ravel() == condition].mean(axis=0) for condition in range(4)]
        aligned = align(np.array(means), PROBE, "r")
        np.testing.assert_allclose(aligned.rows.of(flat), means)
        assert aligned.rows.said == "means over the 4 conditions of the probe"

    def test_rows_of_ones_own(self):
        flat = np.random.default_rng(0).normal(size=(48, 5))
        rows = np.full((8, 6), -1)
        rows[:, 3:] = np.arange(8)[:, None]  # the mean over the second half of each trial
        aligned = align(np.random.default_rng(1).normal(size=(8, 3)), PROBE, "r", rows)
        np.testing.assert_allclose(aligned.rows.of(flat), flat.reshape(8, 6, 5)[:, 3:].mean(axis=1))
        assert "24 of the probe's 48 samples" in aligned.facts[0]

    def test_time_is_stretched_only_when_asked(self):
        """A line in time stays a line."""
        slopes = np.random.default_rng(0).normal(size=(8, 1, 3))
        coarse, fine = (slopes * np.linspace(0, 1, count)[:, None] for count in (4, 6))
        with pytest.raises(NetworkError, match=r"--resample interpolates its 4 times to the probe's 6 steps"):
            align(coarse, PROBE, "r")
        for given in (coarse, coarse.reshape(-1, 3)):
            aligned = align(given, PROBE, "r", resample=True)
            np.testing.assert_allclose(aligned.activity, fine.reshape(-1, 3), atol=1e-15)
            assert "4 times of each trial resampled to 6 steps" in aligned.facts[1]

    def test_what_never_changes_is_left_out_and_counted(self):
        values = np.random.default_rng(0).normal(size=(48, 5))
        values[:, 1] = 7
        aligned = align(values, PROBE, "r")
        assert aligned.activity.shape == (48, 4)
        assert "1 constant unit left out" in aligned.facts[1]

    def test_a_wide_recording_is_noticed(self):
        aligned = align(np.random.default_rng(0).normal(size=(48, 60)), PROBE, "r")
        assert "is the recording transposed?" in aligned.facts[1]

    @pytest.mark.parametrize(
        ("values", "options", "message"),
        [
            (np.zeros((5, 48)), {}, r"its axes seem to be in another order: np.transpose\(recording, \[1, 0\]\)"),
            (np.zeros((3, 8, 6)), {}, r"np.transpose\(recording, \[1, 2, 0\]\) would fit"),
            (
                np.zeros((47, 5)),
                {},
                r"expected the probe's samples of the task flip_flop in their order, \[8, 6, units\]",
            ),
            (np.ones((48, 5)), {}, "r is constant in all 5 units"),
            (np.zeros((48, 0)), {}, "each at least 1"),
            (np.zeros(48), {}, r"has the shape \[48\]; expected \[trials, time, units\]"),
            (np.full((48, 5), np.inf), {}, "NaN or infinity in 5 of 5 units"),
            (np.zeros((48, 5), complex), {}, "is of the type complex128; expected numbers"),
            (np.array([["a"]]), {}, "expected numbers"),
            (np.zeros((7, 3, 5)), {"resample": True}, "r has 7 trials; expected"),
            (np.zeros((47, 5)), {"resample": True}, "47 rows, not 8 trials of equal length"),
            (np.zeros((8, 1, 5)), {"resample": True}, "1 time in each trial; expected at least 2 to resample"),
            (np.eye(3), {"rows": np.zeros(48, int)}, "rows names 1 different rows up to 0; r has the rows 0 to 2"),
            (np.eye(3), {"rows": np.full(48, -1)}, "rows names 0 different rows; r has the rows 0 to 2"),
            (np.eye(3), {"rows": np.zeros(47, int)}, r"rows has the shape \[47\] and the type int64"),
            (np.eye(3), {"rows": np.arange(48) % 3}, "r has 3 rows; expected at least 4 to compare"),
        ],
    )
    def test_what_does_not_fit_is_explained(self, values, options, message):
        with pytest.raises(NetworkError, match=message):
            align(values, PROBE, "r", **options)


class TestProbe:
    def test_conditions_partition_the_samples(self):
        for task, count in ((SineWave(steps=9, commands=7), 7), (ContextIntegration(probe_levels=5), 10)):
            probe = probe_of(task)
            assert len(probe.condition_names) == count
            np.testing.assert_array_equal(probe.condition, np.repeat(np.arange(count)[:, None], probe.steps, axis=1))
        assert PROBE.condition_names == ("target −1, −1", "target −1, 1", "target 1, −1", "target 1, 1")
        memories = np.array(list(itertools.product([-1, 1], repeat=2)))
        np.testing.assert_array_equal(memories[PROBE.condition], PROBE.targets)

    def test_it_is_written_with_what_it_takes_to_align(self, tmp_path):
        task = SineWave(steps=9, commands=7)
        write_probe(task, tmp_path / "probe.npz")
        with np.load(tmp_path / "probe.npz") as file:
            inputs, targets = task.probe()
            np.testing.assert_array_equal(file["inputs"], inputs)
            np.testing.assert_array_equal(file["targets"], targets)
            assert file["condition"].shape == (7, 9)
            assert str(file["kind"]) == "sine_wave"
            assert '"commands": 7' in str(file["settings"])
        with pytest.raises(NetworkError, match=r"ends in '.npy'; expected .npz"):
            write_probe(task, tmp_path / "probe.npy")
