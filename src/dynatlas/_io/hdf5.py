"""Read arrays from HDF5 files that may be hostile: follow no links, check sizes before reading.

HDF5 can point to other files, compute datasets from others, and load filters from disk. Files of weights need none of
that, and all of it is refused.
"""

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from dynatlas._io.untrusted import MAX_ARRAYS, AnyArray, Arrays, Declared, check_sizes
from dynatlas.errors import NetworkError

if TYPE_CHECKING:
    from h5py import Dataset, File, Group  # optional at run time

MAX_DEPTH: Final = 32  # of nested groups
FILTERS: Final = {1: "deflate", 2: "shuffle", 3: "fletcher32"}  # HDF5's identifiers of its built-in filters


class Hdf5(NamedTuple):
    """Arrays of a file by path, and the text attributes of its root."""

    arrays: Arrays
    texts: dict[str, str]


def read_hdf5(path: Path, content: bytes | None = None) -> Hdf5:
    """Read all arrays of an HDF5 file and the text attributes of its root.

    Args:
        path: the file; with ``content``, only its name in messages.
        content: the file's bytes, if it is a member of an archive.

    Raises:
        NetworkError: h5py is missing; the file is damaged, has links, or holds something other than numeric arrays.
    """
    with open_hdf5(path, content) as (file, h5py):
        datasets: dict[str, Dataset] = {}
        _walk(path, file, "", datasets, h5py, strict=True)
        check_sizes(path, {name: _declared(each) for name, each in datasets.items()})
        texts = {name: file.attrs[name] for name in file.attrs if _is_text(file, name, h5py)}
        decoded = {name: text.decode() if isinstance(text, bytes) else str(text) for name, text in texts.items()}
        return Hdf5({name: np.asarray(each[()]) for name, each in datasets.items()}, decoded)


@contextmanager
def open_hdf5(path: Path, content: bytes | None = None) -> Iterator[tuple["File", ModuleType]]:
    """Open an HDF5 file and yield it with the module h5py; errors while reading become errors that name the file.

    Raises:
        NetworkError: h5py is missing, or the file is damaged.
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


def datasets_in(path: Path, file: "File", h5py: ModuleType) -> dict[str, "Dataset"]:
    """Return the datasets of an open file by path, without reading them and without following links."""
    datasets: dict[str, Dataset] = {}
    _walk(path, file, "", datasets, h5py, strict=False)
    return datasets


def load(path: Path, name: str, dataset: "Dataset") -> AnyArray:
    """Check a dataset and read its values.

    Raises:
        NetworkError: the values are not numbers, are stored in another file, need an unknown filter, or are too large.
    """
    _refuse_odd_dataset(path, name, dataset)
    check_sizes(path, {name: _declared(dataset)})
    return np.asarray(dataset[()])


def _declared(dataset: "Dataset") -> Declared:
    return Declared(dataset.shape, math.prod(dataset.shape) * dataset.dtype.itemsize)


def _walk(
    path: Path,
    group: "Group",
    prefix: str,
    datasets: dict[str, "Dataset"],
    h5py: ModuleType,
    *,
    strict: bool,
) -> None:
    """Collect datasets by path. If ``strict``, refuse links and datasets without numbers; else skip links."""
    if prefix.count("/") > MAX_DEPTH:
        raise NetworkError(f"{path}: groups are nested more than {MAX_DEPTH} deep; expected a file of arrays")
    for name in group:
        full = f"{prefix}{name}"
        link = group.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            if not strict:
                continue
            raise NetworkError(f"{path}: {full!r} is a link ({type(link).__name__}); links are not followed")
        item = group[name]
        if isinstance(item, h5py.Group):
            _walk(path, item, f"{full}/", datasets, h5py, strict=strict)
        elif isinstance(item, h5py.Dataset):
            if strict:
                _refuse_odd_dataset(path, full, item)
            datasets[full] = item
        if len(datasets) > MAX_ARRAYS:
            raise NetworkError(f"{path} holds more than {MAX_ARRAYS} arrays; expected fewer")


def _refuse_odd_dataset(path: Path, name: str, dataset: "Dataset") -> None:
    if dataset.dtype.kind not in "fiub" or dataset.dtype.hasobject:
        raise NetworkError(f"{path}: {name!r} has dtype {dataset.dtype}; expected numbers")
    if dataset.external or dataset.is_virtual:
        raise NetworkError(f"{path}: {name!r} stores its values in another file; it is not read")
    if dataset.shape is None:
        raise NetworkError(f"{path}: {name!r} has no shape; expected an array")
    creation = dataset.id.get_create_plist()
    filters = {creation.get_filter(number)[0] for number in range(creation.get_nfilters())}
    if filters - FILTERS.keys():
        raise NetworkError(
            f"{path}: {name!r} uses the filters {sorted(filters)}; expected only those built into HDF5, {FILTERS}"
        )


def _is_text(file: "File", name: str, h5py: ModuleType) -> bool:
    kind = file.attrs.get_id(name)
    is_string = h5py.check_string_dtype(kind.dtype) is not None
    return is_string and kind.shape == ()
