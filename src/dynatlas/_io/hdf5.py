"""Read arrays from HDF5 files that may be hostile: follow no links, check sizes before reading.

HDF5 can point to other files, compute datasets from others, and load filters from disk. Files of weights need none of
that, and all of it is refused.
"""

import errno
import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from dynatlas._io.sizes import MAX_ARRAYS, Declared, check_bytes, check_sizes, short
from dynatlas._io.untrusted import AnyArray, Arrays
from dynatlas.errors import NetworkError

if TYPE_CHECKING:
    from h5py import Dataset, File, Group  # optional at run time

MAX_DEPTH: Final = 32  # of nested groups
# Errors of h5py on damaged files.
DAMAGE: Final = (
    *(OSError, RuntimeError, ValueError, KeyError, TypeError, UnicodeError, OverflowError, MemoryError),
    *(AttributeError, IndexError, RecursionError),
)
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
        _walk(path, file, "", datasets, h5py, set(), strict=True)
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
        with _opened(path, h5py) if content is None else h5py.File(io.BytesIO(content), "r") as file:
            yield file, h5py
    except DAMAGE as error:
        lines = str(error).splitlines()
        raise NetworkError(f"{path} is damaged or truncated: {(lines or [type(error).__name__])[0][:200]}") from None


def _opened(path: Path, h5py: ModuleType) -> "File":
    """Open a file; if the file system has no locks, without a lock.

    HDF5 locks files even for reading. A file that another program writes is refused, since half of it may be on disk.
    """
    try:
        return h5py.File(path, "r")
    except (OSError, RuntimeError) as error:
        said = str(error)
        if "lock" in said and getattr(error, "errno", None) not in (errno.EAGAIN, errno.EACCES):
            return h5py.File(path, "r", locking=False)
        if "lock" in said or "already open for write" in said:
            raise NetworkError(
                f"{path} is open for writing in another program; close it there, or read a copy of the closed file"
            ) from None
        raise


def datasets_in(path: Path, file: "File", h5py: ModuleType) -> dict[str, "Dataset"]:
    """Return the datasets of an open file by path, without reading them and without following links."""
    datasets: dict[str, Dataset] = {}
    _walk(path, file, "", datasets, h5py, set(), strict=False)
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
    seen: set[int],
    *,
    strict: bool,
) -> None:
    """Collect datasets by path. If ``strict``, refuse links and datasets without numbers; else skip links.

    A group is entered once, by its address: groups that contain each other have any number of paths.
    """
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
            address = h5py.h5o.get_info(item.id).addr
            if address not in seen:
                seen.add(address)
                _walk(path, item, f"{full}/", datasets, h5py, seen, strict=strict)
        elif isinstance(item, h5py.Dataset):
            if strict:
                _refuse_odd_dataset(path, full, item)
            datasets[full] = item
        if len(datasets) > MAX_ARRAYS or len(seen) > MAX_ARRAYS:
            raise NetworkError(f"{path} holds more than {MAX_ARRAYS} arrays or groups; expected fewer")


def _refuse_odd_dataset(path: Path, name: str, dataset: "Dataset") -> None:
    if dataset.dtype.kind not in "fiub" or dataset.dtype.hasobject:
        raise NetworkError(f"{path}: {name!r} has dtype {dataset.dtype}; expected numbers")
    if dataset.external or dataset.is_virtual:
        raise NetworkError(f"{path}: {name!r} stores its values in another file; it is not read")
    if dataset.shape is None:
        raise NetworkError(f"{path}: {name!r} has no shape; expected an array")
    if dataset.chunks:  # a chunk is allocated whole, and may be larger than the dataset
        chunk = math.prod(dataset.chunks) * dataset.dtype.itemsize
        check_bytes(f"{path}: {name[:80]!r}", chunk, f"has chunks of {short(dataset.chunks)}, which take {{}} bytes")
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
