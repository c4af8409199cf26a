"""MATLAB's files: version 5 (SciPy) and version 7.3 (HDF5), as arrays by name.

Vectors are stored as [n, 1], numbers as [1, 1], texts as characters. Fields of structures get the structure's name and
a dot. Version 7.3 stores arrays with their axes reversed. Sizes are checked before anything is allocated; a compressed
variable of version 5 is refused if the whole file, expanded, would exceed the limit.
"""

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from dynatlas._io.hdf5 import datasets_in, load, open_hdf5
from dynatlas._io.sizes import Declared, check_bytes, check_sizes, max_bytes
from dynatlas._io.untrusted import AnyArray, Arrays, first_bytes
from dynatlas.errors import NetworkError

MAGIC: Final = b"MATLAB 5.0 MAT-f"
MAGIC_73: Final = b"MATLAB 7.3 MAT-f"
NUMBERS: Final = {"double", "single", "logical"} | {
    f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)
}
CHUNK: Final = 2**20


def is_matlab(path: Path) -> bool:
    """Whether the first bytes are those of a MATLAB file, of version 5 or 7.3."""
    return first_bytes(path, "a file of weights") in (MAGIC, MAGIC_73)


def read_matlab(path: Path, leave_out: Callable[[str], bool]) -> Arrays:
    """Read the numbers and texts of a MATLAB file.

    Args:
        path: the file.
        leave_out: whether to leave out the variable of a name.

    Raises:
        NetworkError: the file is damaged, too large, or has variables other than numbers, texts and structures.
    """
    if first_bytes(path, "a file of weights") == MAGIC_73:
        return _read_73(path, leave_out)
    return _read_5(path, leave_out)


def _read_5(path: Path, leave_out: Callable[[str], bool]) -> Arrays:
    from scipy.io import loadmat, whosmat

    _check_expanded(path)
    try:
        listed = whosmat(path)
        names = [name for name, _, _ in listed if not leave_out(name)]
        check_sizes(path, {name: Declared(shape, 8 * int(np.prod(shape, dtype=object))) for name, shape, _ in listed})
        loaded = loadmat(path, variable_names=names, squeeze_me=False, struct_as_record=True) if names else {}
    except NetworkError:
        raise
    except Exception as error:  # SciPy raises whatever its parsers meet
        raise NetworkError(f"{path} is damaged or truncated: {str(error)[:200] or type(error).__name__}") from None
    arrays: Arrays = {}
    for name in names:
        _add(path, name, loaded[name], arrays)
    return arrays


def _add(path: Path, name: str, values: Any, arrays: Arrays) -> None:
    """Add a variable, or the fields of a structure."""
    values = np.asarray(values)
    if values.dtype.names and values.size == 1:
        for field in values.dtype.names:
            _add(path, f"{name}.{field}", values.reshape(-1)[0][field], arrays)
    elif values.dtype.kind == "U" and values.size <= 1:
        arrays[name] = np.array(str(values.reshape(-1)[0]) if values.size else "")
    elif values.dtype.kind == "U":
        arrays[name] = values
    elif values.dtype.kind in "fiub":
        if values.size:  # [] stands for an absent value
            arrays[name] = values
    else:
        raise NetworkError(
            f"{path}: {name!r} is {'a cell array or an object' if values.dtype.kind == 'O' else values.dtype}; "
            "expected real numbers, a text or one structure. To read the others, use --ignore "
            f"{name.split('.', maxsplit=1)[0]} (ignore=…)"
        )


def _check_expanded(path: Path) -> None:
    """Refuse a file whose compressed variables expand beyond the limit, without keeping what they expand to."""
    total = 0
    with path.open("rb") as file:
        order = "<" if file.read(128)[126:128] == b"IM" else ">"
        byteorder = "little" if order == "<" else "big"
        while len(tag := file.read(8)) == 8:
            kind, size = (int.from_bytes(tag[at : at + 4], byteorder) for at in (0, 4))  # type: ignore[arg-type]
            if kind != 15:  # not compressed
                total += size
                file.seek(size, 1)
            else:
                expand, left = zlib.decompressobj(), size
                while left > 0 and (block := file.read(min(left, CHUNK))):
                    left -= len(block)
                    try:
                        while block:
                            total += len(expand.decompress(block, CHUNK))
                            block = expand.unconsumed_tail
                            if total > max_bytes():
                                break
                    except zlib.error as error:
                        raise NetworkError(f"{path} is damaged or truncated: {error}") from None
            check_bytes(path, total, "expands to {} bytes or more")


def _read_73(path: Path, leave_out: Callable[[str], bool]) -> Arrays:
    arrays: Arrays = {}
    with open_hdf5(path) as (file, h5py):
        datasets = datasets_in(path, file, h5py)
        kept = {
            name: dataset
            for name, dataset in datasets.items()
            if not name.startswith("#") and not leave_out(name.split("/")[0])
        }
        for name, dataset in kept.items():
            kind = dataset.attrs.get("MATLAB_class", b"double")
            kind = kind.decode() if isinstance(kind, bytes) else str(kind)
            dotted = name.replace("/", ".")
            if dataset.attrs.get("MATLAB_empty", 0):
                continue
            if kind != "char" and kind not in NUMBERS:
                raise NetworkError(
                    f"{path}: {dotted!r} is a {kind}; expected real numbers, a text or one structure. To read the "
                    f"others, use --ignore {dotted.split('.')[0]}"
                )
            values = load(path, name, dataset)
            arrays[dotted] = _text(values) if kind == "char" else values.T
    return arrays


def _text(values: AnyArray) -> AnyArray:
    """Return the text of character codes."""
    return np.array("".join(chr(code) for code in np.ravel(values)[:1000]))
