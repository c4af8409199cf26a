"""Writes the files that recordings are read from in tests, with the libraries that people write them with.

Run once, in an environment of its own, and keep the files it writes beside itself:

    python -m venv /tmp/neuro-venv && /tmp/neuro-venv/bin/pip install pynwb==4.2.0 netCDF4
    /tmp/neuro-venv/bin/python tests/data/record_neuro.py

Nothing in them was recorded from anyone: numbers by formulas, so that a test knows them.
"""

from datetime import UTC, datetime
from pathlib import Path

import netCDF4
import numpy as np
from pynwb import NWBHDF5IO, NWBFile, TimeSeries

HERE = Path(__file__).parent
N_TRIALS, N_STEPS, N_UNITS, WIDTH = 4, 5, 3, 0.1


def counts():
    """Spikes of each unit in each bin of each trial."""
    trial, step, unit = np.meshgrid(np.arange(N_TRIALS), np.arange(N_STEPS), np.arange(N_UNITS), indexing="ij")
    return (trial + 2 * step + 3 * unit) % 4


def write_nwb(path):
    """Spikes by trial, and two TimeSeries: one by its rate, one by its timestamps."""
    file = NWBFile("made by formula", "dynatlas-test", datetime(2020, 1, 1, tzinfo=UTC))
    starts = 1.0 + np.arange(N_TRIALS)
    for start in starts:
        file.add_trial(start_time=start, stop_time=start + N_STEPS * WIDTH)
    for unit in range(N_UNITS):
        times = [
            start + WIDTH * (step + (spike + 1) / 5)
            for start, of_trial in zip(starts, counts(), strict=True)
            for step in range(N_STEPS)
            for spike in range(of_trial[step, unit])
        ]
        # And some between the trials, which belong to none.
        file.add_unit(spike_times=np.sort([*times, *(starts + 0.75)]))
    samples = np.arange(60)[:, None] + 100.0 * np.arange(2)
    file.add_acquisition(TimeSeries(name="rates", data=samples, unit="Hz", rate=10.0, starting_time=0.0))
    module = file.create_processing_module("behavior", "by formula")
    module.add(TimeSeries(name="late", data=samples, unit="Hz", timestamps=np.arange(60) / 10 + 0.05))
    with NWBHDF5IO(path, "w") as io:
        io.write(file, cache_spec=False)


def write_netcdf(path, format_):
    """Activity [trial, time, unit] with a scale and a value for what is missing, and what else such files hold."""
    with netCDF4.Dataset(path, "w", format=format_) as file:
        for name, size in (("trial", N_TRIALS), ("time", N_STEPS), ("unit", N_UNITS)):
            file.createDimension(name, size)
        file.createVariable("time", "f8", ("time",))[:] = WIDTH * np.arange(N_STEPS)
        if format_ == "NETCDF4":
            file.createVariable("unit", str, ("unit",))[:] = np.array(["a", "b", "c"], dtype=object)
        rates = file.createVariable("rates", "i2", ("trial", "time", "unit"), fill_value=-1)
        rates.scale_factor = 0.5
        rates[:] = 0.5 * counts()


if __name__ == "__main__":
    write_nwb(HERE / "trials.nwb")
    write_netcdf(HERE / "rates_4.nc", "NETCDF4")
    write_netcdf(HERE / "rates_3.nc", "NETCDF3_CLASSIC")
