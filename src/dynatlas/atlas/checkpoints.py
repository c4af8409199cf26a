"""Checkpoints of unfinished jobs, one file each, removed when the job is done.

They are not results: the manifest does not list them, and a damaged or unsuitable one is ignored.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from dynatlas._io.atomic import open_regular, publish, temporary_beside
from dynatlas._io.tensors import save_tensors

FOLDER = "checkpoints"


def write(folder: Path, name: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Write a checkpoint atomically."""
    contiguous = {key: np.ascontiguousarray(array) for key, array in arrays.items()}
    with temporary_beside(_path(folder, name)) as temporary:
        save_tensors(contiguous, temporary, {"sha256": _digest(contiguous)})
        publish(temporary, _path(folder, name))


def read(folder: Path, name: str) -> dict[str, np.ndarray] | None:
    """Read the arrays of a checkpoint; None if it is missing or damaged."""
    try:
        with open_regular(_path(folder, name)):
            pass  # it is no pipe, which would be waited for
        with safe_open(_path(folder, name), framework="numpy") as file:
            arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
            return arrays if (file.metadata() or {}).get("sha256") == _digest(arrays) else None
    except (OSError, SafetensorError):
        return None


def remove(folder: Path, name: str) -> None:
    """Remove a checkpoint if it exists."""
    _path(folder, name).unlink(missing_ok=True)


def _path(folder: Path, name: str) -> Path:
    return folder / FOLDER / f"{name}.safetensors"


def _digest(arrays: Mapping[str, Any]) -> str:
    digest = hashlib.sha256()
    for key in sorted(arrays):
        array = arrays[key]
        digest.update(json.dumps([key, array.dtype.str, array.shape]).encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
