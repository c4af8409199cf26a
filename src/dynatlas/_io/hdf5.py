"""Arrays out of an HDF5 file that may be hostile: walked without following links, sizes checked before reading.

HDF5 can point to other files, compute datasets from others, and name filters that are loaded from disk; none of that is
in a file of weights, and all of it is refused.
"""

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from dynatlas._io.untrusted import MOST_ARRAYS, Arrays, Declared, checked
from dynatlas.errors import NetworkError

DEEPEST: Final = 32


FILTERS: Final = {1: "deflate", 2: "shuffle", 3: "fletcher32"}  # by HDF5's own numbers; built into the library


class Hdf5(NamedTuple):
    """What is in a file: arrays by their paths, and the texts that its root carries."""

    arrays: Arrays
    texts: dict[str, str]


def read_hdf5(path: Path, content: bytes | None = None) -> Hdf5:
    """All arrays of an HDF5 file, by their paths, and the text attributes of its root.

    Args:
        path: the file; with ``content``, what to call it.
        content: its bytes, of a file that lies in another one.

    Raises:
        NetworkError: no h5py; a file that is damaged, or links elsewhere, or holds what is no array of numbers.
    """
    with open_hdf5(path, content) as (file, h5py):
        datasets: dict[str, Any] = {}
        _walk(path, file, "", datasets, h5py, strict=True)
        checked(path, {name: _declared(each) for name, each in datasets.items()})
        texts = {name: file.attrs[name] for name in file.attrs if _is_text(file, name, h5py)}
        decoded = {name: text.decode() if isinstance(text, bytes) else str(text) for name, text in texts.items()}
        return Hdf5({name: np.asarray(each[()]) for name, each in datasets.items()}, decoded)


@contextmanager
def open_hdf5(path: Path, content: bytes | None = None) -> Iterator[tuple[Any, Any]]:
    """An open HDF5 file and the module h5py; what goes wrong inside becomes an error that names the file.

    Raises:
        NetworkError: no h5py, or a file that is damaged.
    """
    try:
        import h5py
    except ImportError:
        raise NetworkError(f"{path} is HDF5, which needs h5py: pip install h5py") from None
    try:
        with h5py.File(path if content is None else io.BytesIO(content), "r") as file:
            yield file, h5py
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, UnicodeDecodeError, OverflowError) as error:
        raise NetworkError(f"{path} is damaged or truncated: {str(error).splitlines()[0]}") from None


def datasets_in(path: Path, file: Any, h5py: Any) -> dict[str, Any]:
    """The datasets of an open file by their paths, none of them read; links are left out, not followed."""
    datasets: dict[str, Any] = {}
    _walk(path, file, "", datasets, h5py, strict=False)
    return datasets


def load(path: Path, name: str, dataset: Any) -> Any:
    """One dataset's numbers, if it can be trusted to be what it says.

    Raises:
        NetworkError: no numbers, values kept in another file, an unknown filter, or more than anyone would read.
    """
    _refuse_odd_dataset(path, name, dataset)
    checked(path, {name: _declared(dataset)})
    return np.asarray(dataset[()])


def _declared(dataset: Any) -> Declared:
    return Declared(dataset.shape, math.prod(dataset.shape) * dataset.dtype.itemsize)


def _walk(path: Path, group: Any, prefix: str, datasets: dict[str, Any], h5py: Any, *, strict: bool) -> None:
    """Collect datasets; a ``strict`` walk refuses what no file of weights has, others pass it by."""
    if prefix.count("/") > DEEPEST:
        raise NetworkError(f"{path}: groups are nested more than {DEEPEST} deep; expected a file of arrays")
    for name in group:
        full = f"{prefix}{name}"
        link = group.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            if not strict:
                continue
            raise NetworkError(f"{path}: {full!r} is a link to elsewhere ({type(link).__name__}); it is not followed")
        item = group[name]
        if isinstance(item, h5py.Group):
            _walk(path, item, f"{full}/", datasets, h5py, strict=strict)
        elif isinstance(item, h5py.Dataset):
            if strict:
                _refuse_odd_dataset(path, full, item)
            datasets[full] = item
        if len(datasets) > MOST_ARRAYS:
            raise NetworkError(f"{path} holds more than {MOST_ARRAYS} arrays; expected fewer")


def _refuse_odd_dataset(path: Path, name: str, dataset: Any) -> None:
    if dataset.dtype.kind not in "fiub" or dataset.dtype.hasobject:
        raise NetworkError(f"{path}: {name!r} is of the type {dataset.dtype}; expected numbers")
    if dataset.external or dataset.is_virtual:
        raise NetworkError(f"{path}: {name!r} keeps its values in another file; it is not read")
    if dataset.shape is None:
        raise NetworkError(f"{path}: {name!r} has no shape; expected an array")
    creation = dataset.id.get_create_plist()
    filters = {creation.get_filter(number)[0] for number in range(creation.get_nfilters())}
    if filters - FILTERS.keys():
        raise NetworkError(
            f"{path}: {name!r} is compressed by the filters {sorted(filters)}; expected at most those that HDF5 has "
            f"built in, {FILTERS}"
        )


def _is_text(file: Any, name: str, h5py: Any) -> bool:
    kind = file.attrs.get_id(name)
    is_string = h5py.check_string_dtype(kind.dtype) is not None
    return is_string and kind.shape == ()
