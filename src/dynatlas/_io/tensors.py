"""Write safetensors files, with the operating system's errors as such."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save_file


def save_tensors(arrays: Mapping[str, np.ndarray], path: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Write arrays; safetensors ignores strides, so that each is made contiguous first.

    Raises:
        OSError: the file cannot be written.
        SafetensorError: an array has a type that safetensors lacks.
    """
    contiguous = {key: np.ascontiguousarray(array).reshape(array.shape) for key, array in arrays.items()}
    try:
        save_file(contiguous, path, None if metadata is None else dict(metadata))
    except SafetensorError as error:
        if number := re.search(r"\(os error (\d+)\)", str(error)):
            raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from None
        raise
