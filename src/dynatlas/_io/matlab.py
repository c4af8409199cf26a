"""MATLAB's files: version 5 (SciPy) and version 7.3 (HDF5), as variables by name.

Vectors are stored as [n, 1], numbers as [1, 1], texts as characters. Fields of structures get the structure's name and
a dot; those of an array of structures are one array for each of its elements, like the cells of a cell array. Version
7.3 stores arrays with their axes reversed. Sizes are checked before anything is allocated; a compressed variable of
version 5 is refused if the whole file, expanded, would exceed the limit.
"""

import math
import os
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from dynatlas._io.hdf5 import datasets_in, load, open_hdf5
from dynatlas._io.sizes import MAX_ARRAYS, Declared, check_bytes, check_sizes, max_bytes
from dynatlas._io.untrusted import AnyArray, Arrays, first_bytes
from dynatlas.errors import NetworkError

if TYPE_CHECKING:
    from h5py import Dataset, File

MAGIC: Final = b"MATLAB 5.0 MAT-f"
MAGIC_73: Final = b"MATLAB 7.3 MAT-f"
NUMBERS: Final = {"double", "single", "logical"} | {
    f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)
}
CHUNK: Final = 2**20
SECONDS: Final = 60  # for the trial below
# Damage can crash SciPy's reader of version 5, or make it allocate without bound.
TRIAL: Final = """
import sys
from scipy.io import loadmat
try:
    import resource
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[2]), int(sys.argv[2])))
except (ImportError, OSError, ValueError):
    pass
loadmat(sys.argv[1])
"""
ROOM: Final = 2_000_000_000  # bytes beyond the arrays, for the libraries


class Variable(NamedTuple):
    """A variable of a file.

    Attributes:
        kind: "numbers", "text", "cells" (each an array of numbers), or what else it is, such as "a table".
        shapes: shape of the numbers, or of each cell.
        load: returns the values: one array, or one for each cell.
    """

    kind: str
    shapes: tuple[tuple[int, ...], ...] = ()
    load: Callable[[], list[AnyArray]] = list


def is_matlab(path: Path, expected: str = "a file of weights") -> bool:
    """Whether the first bytes are those of a MATLAB file, of version 5 or 7.3."""
    return first_bytes(path, expected) in (MAGIC, MAGIC_73)


def read_matlab(path: Path, leave_out: Callable[[str], bool]) -> Arrays:
    """Read the numbers and texts of a MATLAB file.

    Args:
        path: the file.
        leave_out: whether to leave out the variable of a name.

    Raises:
        NetworkError: the file is damaged, too large, or has variables other than numbers, texts and structures.
    """
    if first_bytes(path, "a file of weights") == MAGIC:
        _check_expanded(path)
        _refuse_crashing(path)
    with matlab_variables(path, leave_out) as found:
        for name, variable in found.items():
            if variable.kind not in ("numbers", "text"):
                what = "a cell array or an array of structures" if variable.kind == "cells" else variable.kind
                raise NetworkError(
                    f"{path}: {name!r} is {what}; expected real numbers, a text or one structure. To read the others, "
                    f"use --ignore {name.split('.', maxsplit=1)[0]} (ignore=…)"
                )
        check_sizes(path, {name: Declared(variable.shapes[0], 0) for name, variable in found.items()})
        return {name: variable.load()[0] for name, variable in found.items()}


def _refuse_crashing(path: Path) -> None:
    """Check in another process that a file of version 5 can be loaded."""
    command = [sys.executable, "-I", "-c", TRIAL, str(path.absolute()), str(3 * max_bytes() + ROOM)]
    quiet = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    try:
        tried = subprocess.run(  # noqa: S603 - this interpreter
            command, capture_output=True, timeout=SECONDS, env=os.environ | quiet, check=False
        )
    except subprocess.TimeoutExpired:
        raise NetworkError(f"{path} is damaged: it takes more than {SECONDS} s to load") from None
    if tried.returncode:
        lines = tried.stderr.decode(errors="replace").strip().splitlines()
        why = lines[-1][:200] if lines and tried.returncode > 0 else f"reading it crashed ({tried.returncode})"
        raise NetworkError(f"{path} is damaged or truncated: {why}")


@contextmanager
def matlab_variables(path: Path, leave_out: Callable[[str], bool]) -> Iterator[dict[str, Variable]]:
    """Yield the variables of a MATLAB file by name; values are loaded while the file is open.

    Raises:
        NetworkError: the file is damaged or too large.
    """
    if first_bytes(path, "a MATLAB file") == MAGIC_73:
        with open_hdf5(path) as (file, h5py):
            yield _variables_73(path, file, h5py, leave_out)
    else:
        yield _variables_5(path, leave_out)


def _variables_5(path: Path, leave_out: Callable[[str], bool]) -> dict[str, Variable]:
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
    found: dict[str, Variable] = {}
    for name in names:
        _add(name, loaded.get(name), found)
    return found


def _add(name: str, values: Any, found: dict[str, Variable]) -> None:
    """Add a variable of version 5, or the fields of a structure."""
    from scipy.io.matlab import MatlabFunction, MatlabObject, MatlabOpaque
    from scipy.sparse import issparse

    if values is None or isinstance(values, MatlabFunction | MatlabObject | MatlabOpaque):
        found[name] = Variable("an object, such as a table")
        return
    if issparse(values):
        found[name] = Variable(f"a sparse matrix, which full({name}) makes an array")
        return
    values = np.asarray(values)
    if values.dtype.names and values.size == 1:
        for field in values.dtype.names:
            _add(f"{name}.{field}", values.reshape(-1)[0][field], found)
    elif values.dtype.names:
        for field in values.dtype.names:
            found[f"{name}.{field}"] = _of_cells([each[field] for each in values.reshape(-1)])
    elif values.dtype.kind == "O":
        found[name] = _of_cells(list(values.reshape(-1, order="F")))
    elif values.dtype.kind == "U":
        text = np.array(str(values.reshape(-1)[0]) if values.size else "") if values.size <= 1 else values
        found[name] = Variable("text", (text.shape,), lambda: [text])
    elif values.dtype.kind in "fiub":
        if values.size:  # [] stands for an absent value
            found[name] = Variable("numbers", (values.shape,), lambda: [values])
    else:
        found[name] = Variable(str(values.dtype))


def _of_cells(cells: Sequence[Any]) -> Variable:
    arrays = [np.asarray(each) for each in cells if isinstance(each, np.ndarray)]
    if not arrays or len(arrays) < len(cells) or any(each.dtype.kind not in "fiub" for each in arrays):
        return Variable("a cell array or an object")
    return Variable("cells", tuple(each.shape for each in arrays), lambda: arrays)


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


def _variables_73(path: Path, file: "File", h5py: Any, leave_out: Callable[[str], bool]) -> dict[str, Variable]:
    found: dict[str, Variable] = {}
    sparse: set[str] = set()
    for name, dataset in datasets_in(path, file, h5py).items():
        parent = name.rpartition("/")[0]
        if name.startswith("#") or leave_out(name.split("/")[0]) or dataset.attrs.get("MATLAB_empty", 0):
            continue
        if parent and "MATLAB_sparse" in file[parent].attrs:
            if parent not in sparse:
                dotted = parent.replace("/", ".")
                found[dotted] = Variable(f"a sparse matrix, which full({dotted}) makes an array")
                sparse.add(parent)
        else:
            found[name.replace("/", ".")] = _variable_73(path, file, h5py, name, dataset)
    return found


def _variable_73(path: Path, file: "File", h5py: Any, name: str, dataset: "Dataset") -> Variable:
    kind = _class_of(dataset)
    if h5py.check_ref_dtype(dataset.dtype) is h5py.Reference and dataset.size <= MAX_ARRAYS:
        return _cells_73(path, file, h5py, name, dataset)
    if kind == "char" and dataset.dtype.kind in "iu":
        return Variable("text", ((),), lambda: [_text(load(path, name, dataset))])
    if not _is_numbers(dataset):
        return Variable(f"a {kind}" if kind not in NUMBERS else f"{dataset.dtype}")
    return Variable("numbers", (dataset.shape[::-1],), lambda: [load(path, name, dataset).T])


def _class_of(dataset: "Dataset") -> str:
    kind = dataset.attrs.get("MATLAB_class", b"double")
    return kind.decode() if isinstance(kind, bytes) else str(kind)


def _is_numbers(dataset: "Dataset") -> bool:
    return _class_of(dataset) in NUMBERS and dataset.dtype.kind in "fiub" and dataset.shape is not None


def _cells_73(path: Path, file: "File", h5py: Any, name: str, dataset: "Dataset") -> Variable:
    """Return the cells of a cell array, or a field of all elements of an array of structures, stored as references."""
    cells: list[Any] = [file[one] if one else None for one in dataset[()].reshape(-1)]
    if not cells or not all(isinstance(each, h5py.Dataset) and _is_numbers(each) for each in cells):
        return Variable("a cell array or an object")

    def load_all() -> list[AnyArray]:
        declared = {
            f"{name}{{{place}}}": Declared(each.shape, math.prod(each.shape) * each.dtype.itemsize)
            for place, each in enumerate(cells)
        }
        check_sizes(path, declared)
        return [load(path, one, each).T for one, each in zip(declared, cells, strict=True)]

    return Variable("cells", tuple(each.shape[::-1] for each in cells), load_all)


def _text(values: AnyArray) -> AnyArray:
    """Return the text of character codes."""
    return np.array("".join(chr(code) for code in np.ravel(values)[:1000]))
