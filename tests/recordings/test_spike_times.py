"""Spikes of NWB files: windows around events, observed intervals, and times that cannot be seconds of the session."""

import h5py
import numpy as np
import pytest

from dynatlas.errors import NetworkError
from dynatlas.recordings.reading import read_here

N_TRIALS, N_BINS, N_UNITS, WIDTH = 6, 10, 4, 0.02
COUNTS = np.random.default_rng(0).poisson(2, size=(N_TRIALS, N_BINS, N_UNITS))
STARTS = 3.0 + 1.2 * np.arange(N_TRIALS)
STOPS = STARTS + N_BINS * WIDTH


def spike_times(starts=STARTS):
    """Times of each unit, in the middle of the bins."""
    bins = np.arange(N_BINS) * WIDTH + WIDTH / 2
    return [np.repeat((starts[:, None] + bins).ravel(), COUNTS[:, :, unit].ravel()) for unit in range(N_UNITS)]


@pytest.fixture
def write(tmp_path):
    def written(spikes, starts=STARTS, stops=STOPS, **more):
        path = tmp_path / "r.nwb"
        with h5py.File(path, "w") as file:
            file.attrs["nwb_version"] = "2.6.0"
            file["units/spike_times"] = np.concatenate(spikes)
            file["units/spike_times_index"] = np.cumsum([len(times) for times in spikes])
            file["intervals/trials/start_time"], file["intervals/trials/stop_time"] = starts, stops
            for name, values in more.items():
                file[name.replace("__", "/")] = values
        return path

    return written


def test_a_window_around_an_event_reads_ragged_trials(write):
    events = STARTS + 0.1
    path = write(spike_times(), stops=STOPS + np.linspace(0, 0.4, N_TRIALS), intervals__trials__go_cue=events)
    with pytest.raises(NetworkError, match=r"its trials have 10 to 30 bins.*--align EVENT --window 0:0.6"):
        read_here(path, bin_width=WIDTH)
    values, facts = read_here(path, bin_width=WIDTH, window=(-0.1, 0.1, "go_cue"))
    np.testing.assert_array_equal(values, COUNTS)
    assert facts[-1] == "times from -0.1 to 0.1 around go_cue"
    values, facts = read_here(path, bin_width=WIDTH, window=(0.0, 0.2, "go_cue"))
    np.testing.assert_array_equal(values[:, :5], COUNTS[:, 5:])
    assert facts[-1] == "the window begins before the start of 0 trials and ends after the stop of 2"
    np.testing.assert_array_equal(read_here(path, bin_width=WIDTH, window=(0.0, 0.2, ""))[0], COUNTS)
    with pytest.raises(NetworkError, match="no times called 'cue' in intervals/trials; it has go_cue, start_time"):
        read_here(path, bin_width=WIDTH, window=(0.0, 0.2, "cue"))


def test_trials_without_the_event_are_refused(write):
    path = write(spike_times(), intervals__trials__go_cue=np.where(np.arange(N_TRIALS) == 2, np.nan, STARTS))
    with pytest.raises(NetworkError, match="go_cue is missing in 1 of 6 trials"):
        read_here(path, bin_width=WIDTH, window=(0.0, 0.1, "go_cue"))


def test_units_not_observed_in_all_trials_are_left_out(write):
    half = STOPS[2]
    spikes = [times[times < half] if unit % 2 else times for unit, times in enumerate(spike_times())]
    # The whole session in two parts that touch; or its first half.
    spans = [[[0.0, half], [half, 99.0]], [[0.0, half]]] * 2
    more = {
        "units__obs_intervals": np.concatenate(spans),
        "units__obs_intervals_index": np.cumsum([len(span) for span in spans]),
    }
    values, facts = read_here(write(spikes, **more), bin_width=WIDTH)
    np.testing.assert_array_equal(values, COUNTS[:, :, ::2])
    assert facts[-1] == "2 units left out: by obs_intervals not observed in all trials"
    with pytest.raises(NetworkError, match="of unit 1 lie outside its obs_intervals"):
        read_here(write(spike_times(), **more), bin_width=WIDTH)
    none = {"units__obs_intervals": [[0.0, half]] * 4, "units__obs_intervals_index": np.arange(4) + 1}
    with pytest.raises(NetworkError, match="none of the 4 units was observed in all 6 trials"):
        read_here(write([times[times < half] for times in spike_times()], **none), bin_width=WIDTH)


def restarted():
    """Times from the start of each trial, one trial after the other."""
    from_zero = spike_times(np.zeros(N_TRIALS))
    return [np.concatenate(np.split(times, np.flatnonzero(np.diff(times) < 0) + 1)) for times in from_zero]


@pytest.mark.parametrize(
    ("spikes", "message"),
    [
        (restarted(), "spike times of unit 0 descend 5 times.*restart at each trial"),
        ([1000 * times for times in spike_times()], "seem to be in milliseconds; expected seconds"),
        ([30_000 * times for times in spike_times()], "seem to be in samples; expected seconds"),
        (
            [np.sort(np.r_[np.linspace(0, 1, 9), 1000 * times]) for times in spike_times()],
            "seem to be in milliseconds",
        ),
        ([np.sort(times) + 3 for times in restarted()], "in 5 of 6 trials no unit has a spike"),
        ([times[times < STOPS[2]] for times in spike_times()], "in 3 of 6 trials no unit has a spike"),
        ([np.sort(np.tile(times, 50)) for times in spike_times()], "unit . has a mean rate of .* spikes per second"),
    ],
)
def test_implausible_times_are_refused(spikes, message, write):
    path = write(spikes)
    with pytest.raises(NetworkError, match=message) as caught:
        read_here(path, bin_width=WIDTH)
    assert len(str(caught.value)) - len(str(path)) <= 450


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"intervals__trials__is_good": [1, 1, 0, 1, 1, 1]}, "intervals/trials/is_good is 1 for 5 of 6 rows"),
        ({"units__valid": np.array([True, False, True, True])}, "units/valid is 1 for 3 of 4 rows.*which of the units"),
        (
            {
                "intervals__invalid_times__start_time": [0.0, STARTS[2] - 1],
                "intervals__invalid_times__stop_time": [STARTS[1] + 0.1, STARTS[2]],
            },
            r"invalid_times covers a part of 2 trials of 6 \(first: 0\)",
        ),
    ],
)
def test_marks_of_what_does_not_count_are_honoured(more, message, write):
    with pytest.raises(NetworkError, match=message):
        read_here(write(spike_times(), **more), bin_width=WIDTH)


def test_marks_that_exclude_nothing_are_accepted(write):
    more = {"intervals__trials__valid": np.ones(N_TRIALS, bool)}
    more |= {f"intervals__invalid_times__{name}_time": [at] for name, at in (("start", STOPS[0]), ("stop", STARTS[1]))}
    np.testing.assert_array_equal(read_here(write(spike_times(), **more), bin_width=WIDTH)[0], COUNTS)


def test_trials_are_in_the_order_of_their_ids(write):
    order = np.array([3, 1, 0, 5, 4, 2])
    values, facts = read_here(
        write(spike_times(), STARTS[order], STOPS[order], intervals__trials__id=order), bin_width=WIDTH
    )
    np.testing.assert_array_equal(values, COUNTS)
    assert facts[-1] == "trials in the order of their ids, which is not that of the table"
    values, facts = read_here(write(spike_times(), STARTS[order], STOPS[order]), bin_width=WIDTH)
    np.testing.assert_array_equal(values, COUNTS[order])
    assert facts[-1] == "trials in the order of the table, which is not that of their start times"


def test_factors_of_channels_are_applied_and_a_transposed_series_is_named(tmp_path):
    data = np.random.default_rng(0).normal(size=(100, 3))
    for name, values in (("r", data), ("transposed", data.T)):
        with h5py.File(tmp_path / f"{name}.nwb", "w") as file:
            file.attrs["nwb_version"] = "2.6.0"
            file["intervals/trials/start_time"], file["intervals/trials/stop_time"] = [1.0, 3.0], [2.0, 4.0]
            file["acquisition/rates/data"] = values
            file.create_dataset("acquisition/rates/starting_time", data=0.0).attrs["rate"] = 10.0
            if name == "r":
                file["acquisition/rates/channel_conversion"] = [1.0, 2.0, 4.0]
    expected = np.stack([data[10:20], data[30:40]]) * [1, 2, 4]
    np.testing.assert_allclose(read_here(tmp_path / "r.nwb")[0], expected)
    with pytest.raises(NetworkError, match=r"no sample .* is in a trial; it has the shape \[3, 100\], expected \[time"):
        read_here(tmp_path / "transposed.nwb")
