"""Recordings in MATLAB files of both versions: matrices, cells, arrays of structures, and what is refused."""

import h5py
import numpy as np
import pytest
from scipy.io import savemat
from scipy.sparse import csc_matrix

from dynatlas.errors import NetworkError
from dynatlas.recordings.reading import read_here, read_recording
from support.matlab import savemat_73

RATES = np.random.default_rng(0).normal(size=(4, 6, 3))
TRIAL, TIME = np.divmod(np.arange(24), 6)
SHUFFLED = np.random.default_rng(1).permutation(24)


def cells(arrays):
    found = np.empty((1, len(arrays)), object)
    found[0] = [*arrays]
    return found


def structures(**fields):
    kinds = [(name, object) for name in fields]
    return np.array([tuple(row) for row in zip(*fields.values(), strict=True)], kinds)[None]


WRITERS = [
    savemat,
    lambda path, values: savemat(path, values, do_compression=True),
    savemat_73,
]


@pytest.mark.parametrize("write", WRITERS)
class TestVersions:
    @pytest.mark.parametrize(
        ("values", "series", "said"),
        [
            ({"rates": RATES}, None, ()),
            ({"rates": RATES, "dt": 0.02, "name": "monkey", "t": np.arange(6.0)}, None, ()),
            ({"data": {"rates": RATES, "fs": 50.0}}, None, ()),
            ({"rates": RATES, "behaviour": RATES[:, :, :2]}, "rates", ()),
            ({"rates": RATES[::-1], "trial": np.arange(4)[::-1]}, None, ("axis 0 sorted by trial",)),
            (
                {"X": RATES.reshape(24, 3)[SHUFFLED], "trial": TRIAL[SHUFFLED], "time": TIME[SHUFFLED]},
                None,
                ("rows in the order of trial and time",),
            ),
            ({"rates": cells(RATES)}, None, ("4 cells of 6 × 3, taken as trials",)),
            ({"rates": RATES, "time": cells([np.ones((9, 1)), np.ones((7, 1))])}, None, ()),
            ({"D": structures(rates=[*RATES], cue=[1.0, 2.0, 1.0, 2.0])}, None, ("4 cells of 6 × 3, taken as trials",)),
            (
                {"D": structures(rates=[*RATES[::-1]], trialId=[4.0, 3.0, 2.0, 1.0])},
                "D.rates",
                ("4 cells of 6 × 3, taken as trials", "axis 0 sorted by trialId"),
            ),
        ],
    )
    def test_the_right_numbers(self, write, values, series, said, tmp_path):
        write(tmp_path / "r.mat", values)
        found, facts = read_here(tmp_path / "r.mat", series=series)
        np.testing.assert_array_equal(found, RATES)
        assert facts[1:] == said

    @pytest.mark.parametrize(
        ("values", "series", "message"),
        [
            ({"a": RATES, "b": RATES}, None, r"holds several arrays: a \[4, 6, 3\], b \[4, 6, 3\]"),
            ({"rates": cells([RATES[0], RATES[1, :5]])}, None, "the 2 cells of 'rates' have 5 to 6 rows"),
            ({"rates": cells([np.ones((9, 1)), np.ones((7, 1))])}, "rates", "count spike times in bins"),
            ({"names": cells(["a", "b"])}, None, "'names' is a cell array or an object; expected real numbers"),
            ({"name": "monkey"}, None, "holds no array of numbers: nothing"),
            ({"rates": RATES, "good": np.array([1, 0, 1, 1])}, None, "'good' .* which of its values count"),
            ({"rates": RATES}, "rate", "has no arrays called 'rate'; did you mean 'rates'"),
        ],
    )
    def test_what_is_refused(self, write, values, series, message, tmp_path):
        write(tmp_path / "r.mat", values)
        with pytest.raises(NetworkError, match=message):
            read_here(tmp_path / "r.mat", series=series)

    @pytest.mark.usefixtures("processes")
    def test_it_is_read_in_a_process_of_its_own(self, write, tmp_path):
        write(tmp_path / "r.mat", {"rates": RATES})
        np.testing.assert_array_equal(read_recording(tmp_path / "r.mat").values, RATES)
        with pytest.raises(NetworkError, match="max_gb"):
            read_recording(tmp_path / "r.mat", max_gb=1e-7)


def test_sparse_matrices_and_tables_are_named(tmp_path):
    savemat(tmp_path / "5.mat", {"counts": csc_matrix(np.eye(4))})
    with h5py.File(tmp_path / "73.mat", "w", userblock_size=512) as file:
        file.create_group("counts").attrs["MATLAB_sparse"] = np.uint64(4)
        file["counts/data"], file["counts/ir"], file["counts/jc"] = np.ones(4), np.arange(4), np.arange(5)
        file["table"] = np.zeros(6, np.uint32)
        file["table"].attrs["MATLAB_class"] = np.bytes_("table")
    with (tmp_path / "73.mat").open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")
    for name in ("5", "73"):
        with pytest.raises(NetworkError, match=r"'counts' is a sparse matrix, which full\(counts\) makes an array"):
            read_here(tmp_path / f"{name}.mat", series="counts")
    with pytest.raises(NetworkError, match="'table' is a table; expected real numbers"):
        read_here(tmp_path / "73.mat", series="table")


def test_cells_that_repeat_one_large_array_are_refused(tmp_path):
    """A reference takes 8 bytes, whatever it refers to."""
    savemat_73(tmp_path / "r.mat", {"rates": cells([np.zeros((100, 100))])})
    with h5py.File(tmp_path / "r.mat", "a") as file:
        reference = file["rates"][()].flat[0]
        attributes = dict(file["rates"].attrs)
        del file["rates"]
        file.create_dataset("rates", data=np.full(9000, reference), dtype=h5py.ref_dtype)
        file["rates"].attrs.update(attributes)
    with pytest.raises(NetworkError, match=r"holds 7.2e\+08 bytes of arrays; expected at most 5e\+08"):
        read_here(tmp_path / "r.mat")


def test_damaged_files(tmp_path):
    savemat(tmp_path / "whole.mat", {"rates": RATES}, do_compression=True)
    whole = (tmp_path / "whole.mat").read_bytes()
    for content in (whole[:20], whole[:-50], whole[:128] + b"\xff" * 50):
        (tmp_path / "r.mat").write_bytes(content)
        with pytest.raises(NetworkError, match=r"is damaged or truncated|holds no array|expands to"):
            read_here(tmp_path / "r.mat")
