"""Files that C libraries read are read in a process of its own."""

import h5py
import numpy as np
import pandas as pd
import pytest

from dynatlas.errors import NetworkError
from dynatlas.recordings.formats import apart
from dynatlas.recordings.reading import read_here, read_recording

COUNTS = np.random.default_rng(0).poisson(3, size=(20, 4))


@pytest.mark.usefixtures("processes")
def test_values_and_errors_come_back(tmp_path, monkeypatch):
    frame = pd.DataFrame(COUNTS, columns=[f"unit_{unit}" for unit in range(4)]).assign(trial=np.arange(20) // 5)
    frame.to_parquet(tmp_path / "a.parquet")
    read = read_recording(tmp_path / "a.parquet")
    np.testing.assert_array_equal(read.values, COUNTS.reshape(4, 5, 4))
    assert read == (read.values, read_here(tmp_path / "a.parquet")[1])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "json.py").write_text("raise SystemExit")  # code beside the data is not imported
    with h5py.File("a.h5", "w") as file:
        file["rates"], file["other"] = COUNTS, COUNTS
    with pytest.raises(NetworkError, match=r"^a.h5 holds several arrays: other \[20, 4\], rates \[20, 4\]"):
        read_recording(tmp_path.__class__("a.h5"))


def test_a_path_may_be_a_text(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((4, 3)))
    assert read_recording(f"{tmp_path}/a.npy").values.shape == (4, 3)


@pytest.mark.usefixtures("processes")
@pytest.mark.parametrize(
    ("start", "said"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "ended it by exit code -11"),
        ("import time; time.sleep(60)", "took more than 1 s"),
        ('import sys; sys.stdout.write(\'{"dtype": "<f8", "shape": [9], "facts": []}\\n\')', "exit code"),
    ],
)
def test_a_reader_that_crashes_or_stalls_is_an_error(start, said, tmp_path, monkeypatch):
    monkeypatch.setattr(apart, "START", start)
    monkeypatch.setattr(apart, "STALLED", 1)
    monkeypatch.setattr(apart, "SECONDS", 1)
    with pytest.raises(NetworkError, match=f"is damaged, or needs more memory than 0.5 GB: .*{said}"):
        apart.read_apart(tmp_path / "a.parquet", {})
