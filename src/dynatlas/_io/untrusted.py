"""Read arrays from files that may be hostile: check sizes in headers first, execute nothing.

The format is recognised by the first bytes, not by the name: safetensors, NumPy's ``.npz`` and ``.npy``, HDF5. Pickles
are refused. The readers return numbers, and short texts from ``.npz``.
"""

import io
import json
import math
import re
import stat
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from tokenize import TokenError
from typing import Any, BinaryIO, Final, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from dynatlas._io.pickles import is_pickled_none
from dynatlas._io.pointers import POINTER_BYTES, refuse_pointer
from dynatlas._io.sizes import Declared, check_sizes, short
from dynatlas.errors import NetworkError

AnyArray = NDArray[Any]  # the file decides on the dtype
Arrays = dict[str, AnyArray]
Format = Literal["safetensors", "npz", "npy", "hdf5", "keras"]

MAX_HEADER_BYTES: Final = 100_000_000  # as in the definition of safetensors
MAX_TEXT_LENGTH: Final = 1000
KERAS_MEMBERS: Final = {"config.json", "model.weights.h5"}  # of a whole model saved by Keras 3

# Data types of safetensors → NumPy; bfloat16 is the upper half of a float32.
SAFETENSORS_TYPES: Final = (
    {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "BOOL": "?"}
    | {"I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1"}
    | {"U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1"}
)

# Errors of zipfile on damaged archives; RuntimeError and NotImplementedError are for encryption and unknown methods.
DAMAGE: Final = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError, ValueError)

# Errors of NumPy on damaged array headers, which it parses as Python text.
HEADER_DAMAGE: Final = (
    *(ValueError, KeyError, EOFError, SyntaxError, TokenError, RecursionError, MemoryError, TypeError, IndexError),
    *(OverflowError, AttributeError),
)

PICKLED: Final = (
    "is a pickle, which runs code when loaded; it is not opened. To convert a PyTorch checkpoint, run: "
    "dynatlas convert {path} NEW.safetensors"
)


class UnreadableArrayError(NetworkError):
    """One array of a file holds something other than numbers or texts; the others could be read without it.

    Attributes:
        name: name of the array in its file; "" for a file of one array.
    """

    name: str

    def __init__(self, message: str, name: str = "") -> None:
        super().__init__(message)
        self.name = name


@runtime_checkable
class Readable(Protocol):
    """A binary file, or a member of an archive."""

    def read(self, size: int = -1, /) -> bytes:
        """Read at most ``size`` bytes."""


def read_arrays(path: Path, leave_out: Callable[[str], bool] | None = None) -> tuple[Format, Arrays]:
    """Return the format of a file and its arrays by name.

    Args:
        path: the file.
        leave_out: whether to leave out the array of a name.

    The array of a ``.npy`` file is named "array". A pickled None is the text "None". HDF5 files and Keras archives are
    recognised, but not read here: see ``read_hdf5`` and ``read_keras_archive``.

    Raises:
        NetworkError: the file is missing, not a regular file, of an unknown format, damaged, or unsafe.
        UnreadableArrayError: an array holds something other than numbers or texts.
    """
    form = format_of(path)
    with path.open("rb") as file:
        if form == "safetensors":
            return form, _read_safetensors(path, file, leave_out or _none)
        if form == "npz":
            return form, _read_npz(path, file, leave_out or _none)
        if form == "npy":
            return form, {"array": _read_npy(f"{path}", file, path.stat().st_size)}
    return form, {}


def _none(name: str) -> bool:
    del name
    return False


def format_of(path: Path) -> Format:
    """Return the format of a file, recognised by its first bytes.

    Raises:
        NetworkError: the file is missing, not a regular file, or of an unknown format.
    """
    head = first_bytes(path, "a file of weights")
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return "hdf5"
    if head.startswith(b"\x93NUMPY"):
        return "npy"
    if head.startswith(b"PK"):
        return "keras" if _names(path) >= KERAS_MEMBERS else "npz"
    # A pickle of protocol 2 or later begins with 0x80; so can the length before a safetensors header.
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= MAX_HEADER_BYTES:
        return "safetensors"
    if head.startswith(b"\x80") or path.suffix in {".pt", ".pth", ".pkl", ".pickle", ".ckpt"}:
        raise NetworkError(f"{path} {PICKLED.format(path=path)}")
    raise NetworkError(
        f"{path} ({path.stat().st_size} bytes) is not a supported file of weights; expected .safetensors, .npz, .npy, "
        ".keras or .h5, of a network also .mat or .json, recognised by the first bytes"
    )


def first_bytes(path: Path, expected: str) -> bytes:
    """Return the first 16 bytes of a file, which identify its format better than its name.

    A file that the user names may be a symbolic link, as in a DataLad data set. Only a regular file is opened: a FIFO
    would block.

    Args:
        path: the file.
        expected: what messages say was expected, such as "a file of weights".

    Raises:
        NetworkError: the file is missing or not a regular file.
    """
    try:
        kind = path.stat()
    except (OSError, ValueError) as error:
        if path.is_symlink():
            raise NetworkError(
                f"{path} is a symbolic link to {path.readlink()}, which cannot be read; fetch the content first "
                f"(DataLad: datalad get {path})"
            ) from None
        raise NetworkError(f"cannot read {path}: {getattr(error, 'strerror', error)}") from None
    if not stat.S_ISREG(kind.st_mode):
        what = "a folder" if path.is_dir() else "not a regular file"
        raise NetworkError(f"{path} is {what}; expected {expected}")
    try:
        with path.open("rb") as file:
            head = file.read(POINTER_BYTES)
    except OSError as error:
        raise NetworkError(f"cannot read {path}: {error.strerror}") from None
    refuse_pointer(path, head, kind.st_size)
    return head[:16]


def _read_safetensors(path: Path, file: BinaryIO, leave_out: Callable[[str], bool]) -> Arrays:
    """Read a JSON header (name → type, shape, byte offsets), check it against the file's size, and read the arrays."""
    size = path.stat().st_size
    length = int.from_bytes(file.read(8), "little")
    if 8 + length > size:
        raise NetworkError(f"{path} is truncated: its header has {length} bytes, the whole file {size}")
    try:
        header = json.loads(file.read(length))
        entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
        types = {name: SAFETENSORS_TYPES.get(entry["dtype"]) for name, entry in entries.items()}
        places = {name: tuple(entry["data_offsets"]) for name, entry in entries.items()}
        shapes = {name: tuple(entry["shape"]) for name, entry in entries.items()}
        numbers = [number for values in (places, shapes) for value in values.values() for number in value]
        if not all(type(number) is int for number in numbers) or any(len(place) != 2 for place in places.values()):
            raise ValueError("shapes and offsets must be whole numbers")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise NetworkError(f"{path} is damaged: its header is not a safetensors header ({str(error)[:200]})") from None
    for name, kind in types.items():
        if kind is None:
            raise NetworkError(f"{path}: {name!r} has the type {entries[name]['dtype']!r}; expected floats or integers")
    kinds = {name: np.dtype(kind) for name, kind in types.items()}
    sizes = {name: math.prod(shapes[name]) * kinds[name].itemsize for name in entries}
    check_sizes(path, {name: Declared(shapes[name], sizes[name]) for name in entries})
    end = 0
    for name, (begin, stop) in sorted(places.items(), key=lambda item: item[1]):
        if begin != end or stop - begin != sizes[name]:
            raise NetworkError(
                f"{path} is damaged: {name!r} with shape {shapes[name]} should take {sizes[name]} bytes from offset "
                f"{end}, but its header says {begin} to {stop}"
            )
        end = stop
    if 8 + length + end != size:
        raise NetworkError(
            f"{path} is truncated or has trailing bytes: the header describes {8 + length + end} bytes, not {size}"
        )

    def load(name: str) -> AnyArray:
        file.seek(8 + length + places[name][0])
        values = np.frombuffer(file.read(sizes[name]), kinds[name])
        if entries[name]["dtype"] == "BF16":
            values = (values.astype(np.uint32) << 16).view(np.float32)
        return values.reshape(shapes[name])

    loaded = {name: load(name) for name in entries if not leave_out(name)}
    return loaded | {name: text for name, text in _texts(header).items() if name not in entries and not leave_out(name)}


def _texts(header: dict[str, Any]) -> Arrays:
    """Return the metadata that state an activation; programs write others of their own, such as "format"."""
    metadata = header.get("__metadata__")
    found = metadata.items() if isinstance(metadata, dict) else ()
    return {
        name: np.array(text)
        for name, text in found
        if isinstance(text, str) and len(text) <= MAX_TEXT_LENGTH and re.search("activation|nonlin", name.lower())
    }


def _read_npz(path: Path, file: BinaryIO, leave_out: Callable[[str], bool]) -> Arrays:
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            _refuse_odd_members(path, members)
            kept = {member.filename.removesuffix(".npy"): member for member in members}
            if len(kept) != len(members):
                raise NetworkError(f"{path} is damaged: two arrays have the same name")
            declared = {name: Declared((), member.file_size) for name, member in kept.items()}
            check_sizes(path, declared)
            loaded: Arrays = {}
            for name, member in kept.items():
                if leave_out(name):
                    continue
                with archive.open(member) as content:
                    loaded[name] = _read_npy(f"{path}: {name[:80]!r}", content, member.file_size, name)
                declared[name] = Declared(loaded[name].shape, loaded[name].nbytes)
                check_sizes(path, declared)  # small types take more memory as float64 than in the file
            return loaded
    except UnreadableArrayError:
        raise
    except DAMAGE as error:
        raise NetworkError(f"{path} is damaged or truncated: {str(error)[:200]}") from None


def _names(path: Path) -> set[str]:
    """Names of an archive's members; empty if it is damaged, which the reader reports."""
    try:
        with zipfile.ZipFile(path) as archive:
            return set(archive.namelist())
    except DAMAGE:
        return set()


def _refuse_odd_members(path: Path, members: list[zipfile.ZipInfo]) -> None:
    for member in members:
        name = member.filename
        if name.endswith(".pkl") or "/data/" in name:
            raise NetworkError(f"{path} {PICKLED.format(path=path)}")
    refuse_unsafe_members(path, members)
    for member in members:
        if not member.filename.endswith(".npy"):
            raise NetworkError(f"{path} has a member {member.filename!r}; expected only the arrays of an .npz file")


def refuse_unsafe_members(path: Path, members: list[zipfile.ZipInfo]) -> None:
    """Refuse an archive with an unsafe member.

    Raises:
        NetworkError: a member points outside the archive, is a symbolic link, or uses an unexpected compression.
    """
    for member in members:
        name = member.filename
        parts = name.replace("\\", "/").split("/")
        # Keras' names end in ":0"; a drive is a letter and a colon.
        if not parts[0] or ".." in parts or parts[0][1:] == ":" or "\0" in name:
            raise NetworkError(f"{path} has a member {name!r} whose name points outside the archive; it is not opened")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise NetworkError(f"{path} has a member {name!r} that is a symbolic link; it is not opened")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise NetworkError(
                f"{path}: {name!r} has compression method {member.compress_type}; expected stored or deflated"
            )


def _read_npy(what: str, content: Readable, size: int, name: str = "") -> AnyArray:
    """Read an array: its header first, then no more bytes than the header declares."""
    formats = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    try:
        version = np.lib.format.read_magic(content)
        head = io.BytesIO(content.read(min(size, 20_000)))  # NumPy refuses headers above 10,000 bytes
        shape, fortran, kind = formats[version](head)
    except HEADER_DAMAGE as error:
        reason = str(error)[:200]
        raise NetworkError(f"{what} is damaged: its header is not an array header ({reason})") from None
    if kind.hasobject:
        if shape == () and size < 1000 and is_pickled_none(head.read() + content.read(size)):
            return np.array("None")
        raise UnreadableArrayError(
            f"{what} holds pickled Python objects, which run code when loaded; it is not opened", name
        )
    if kind.kind not in "fiubU" or (kind.kind == "U" and kind.itemsize > 4 * MAX_TEXT_LENGTH):
        raise UnreadableArrayError(f"{what} has dtype {str(kind)[:80]}; expected numbers", name)
    if not all(type(number) is int for number in shape):
        raise NetworkError(f"{what} has the shape {short(shape)}, which no array can have")
    nbytes = math.prod(shape) * kind.itemsize
    check_sizes(what, {"array": Declared(shape, nbytes)})
    header = 8 + head.tell()
    if header + nbytes != size:
        raise NetworkError(
            f"{what} is truncated or damaged: the shape {short(shape)} takes {nbytes} bytes, but it has {size - header}"
        )
    beginning = head.read()
    values = beginning + content.read(nbytes - len(beginning))
    content.read(1)  # at its end zipfile compares a member with its checksum
    if len(values) != nbytes:
        raise NetworkError(f"{what} is truncated: it has {len(values)} of {nbytes} bytes")
    return np.frombuffer(values, kind).reshape(shape, order="F" if fortran else "C")
