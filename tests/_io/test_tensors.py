"""Files of tensors: errors of the operating system stay such, and those of safetensors, too."""

import errno
import resource
from pathlib import Path

import numpy as np
import pytest
from safetensors import SafetensorError
from safetensors.numpy import load_file

from dynatlas._io.tensors import save_tensors


def test_strides_are_kept_apart_from_values(tmp_path):
    arrays = {"a": np.arange(6.0).reshape(2, 3).T, "scalar": np.array(2.0)}
    save_tensors(arrays, tmp_path / "x.safetensors")
    read = load_file(tmp_path / "x.safetensors")
    for name, values in arrays.items():
        np.testing.assert_array_equal(read[name], values)
        assert read[name].shape == values.shape


def test_a_file_that_may_not_grow_is_an_error_of_the_operating_system(tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large") as raised:
            save_tensors({"a": np.zeros(100_000)}, tmp_path / "full.safetensors")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert raised.value.errno == errno.EFBIG
    with pytest.raises(OSError, match="No such file"):
        save_tensors({"a": np.zeros(10)}, Path(tmp_path / "nowhere" / "x"))


def test_a_type_that_is_lacking_stays_an_error_of_the_format(tmp_path):
    with pytest.raises((SafetensorError, KeyError, TypeError, ValueError)):
        save_tensors({"a": np.array(["text"])}, tmp_path / "x.safetensors")
