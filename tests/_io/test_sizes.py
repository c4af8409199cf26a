"""One bound on the memory of a file's arrays, and files of HDF5 that other programs or file systems lock."""

import errno

import h5py
import numpy as np
import pytest

from dynatlas._io.hdf5 import datasets_in, load, open_hdf5, read_hdf5
from dynatlas._io.sizes import Declared, at_most, check_sizes, max_bytes
from dynatlas._io.untrusted import read_arrays
from dynatlas.errors import NetworkError


def test_numbers_count_as_float64_and_the_limit_can_be_raised():
    declared = {"W": Declared((10_000, 10_000), 10**8)}  # int8
    with pytest.raises(NetworkError, match=r"would take 8e\+08 bytes; expected at most 5e\+08: max_gb \(--max-gb\)"):
        check_sizes("a.npy", declared)
    with at_most(0.9):
        check_sizes("a.npy", declared)
        with pytest.raises(NetworkError, match=r"a.npz holds 1.6e\+09 bytes of arrays"):
            check_sizes("a.npz", declared | {"V": declared["W"]})
    assert max_bytes() == 5e8
    for wrong in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(NetworkError, match="expected a positive number of gigabytes"), at_most(wrong):
            pass


def test_small_types_in_an_archive_are_added_up(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", a=np.zeros(60_000, "i1"), b=np.zeros(60_000, "i1"))
    with at_most(0.0007), pytest.raises(NetworkError, match=r"holds 9.6e\+05 bytes of arrays"):
        read_arrays(tmp_path / "a.npz")


@pytest.mark.parametrize("header", ["{'descr': (", "(" * 5000, "{'descr': '<f8', 'shape': (9**9**9,)}", "[", "'''"])
def test_a_header_that_is_no_python_is_damage(header, tmp_path):
    text = header.encode() + b"\n"
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text)
    with pytest.raises(NetworkError, match="is damaged: its header is not an array header") as caught:
        read_arrays(tmp_path / "a.npy")
    assert len(str(caught.value)) <= 500


def test_groups_that_contain_each_other_are_entered_once(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        group = file.create_group("g")
        for _ in range(30):  # 2³⁰ paths
            inner = group.create_group("a")
            group["b"] = inner
            group = inner
        group["x"] = np.eye(2)
        group["again"] = file["g"]
    with open_hdf5(tmp_path / "a.h5") as (file, module):
        assert [name.rpartition("/")[2] for name in datasets_in(tmp_path, file, module)] == ["x"]
    assert len(read_hdf5(tmp_path / "a.h5").arrays) == 1


def test_a_chunk_is_no_larger_than_the_limit(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", (9, 9), "f8", chunks=(20_000, 20_000), maxshape=(None, None))
        with pytest.raises(NetworkError, match=r"has chunks of \(20000, 20000\), which take 3.2e\+09 bytes"):
            load(tmp_path / "a.h5", "x", file["x"])


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EAGAIN])
def test_a_lock_is_no_damage(code, tmp_path, monkeypatch):
    """A file system without locks is read without; what another program writes is refused."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = np.eye(2)
    opened = h5py.File

    def locked(path, mode, locking=None):
        if locking is None:
            raise OSError(code, f"Unable to synchronously open file (unable to lock file, errno = {code})")
        return opened(path, mode, locking=locking)

    monkeypatch.setattr(h5py, "File", locked)
    if code == errno.ENOLCK:
        np.testing.assert_array_equal(read_hdf5(tmp_path / "a.h5").arrays["x"], np.eye(2))
        return
    with pytest.raises(NetworkError, match="is open for writing in another program; close it there"):
        read_hdf5(tmp_path / "a.h5")
