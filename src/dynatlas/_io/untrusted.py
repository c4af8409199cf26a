"""Arrays out of files that may be hostile: sizes are checked in headers first, and nothing is ever executed.

Three formats are read, told apart by their first bytes and not by their names: safetensors, NumPy's ``.npz`` and
``.npy``, and HDF5. Pickles are named and refused. What can be read is numbers, and short texts in ``.npz``.
"""

import io
import json
import math
import stat
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dynatlas.errors import NetworkError

Arrays = dict[str, NDArray[Any]]


Format = Literal["safetensors", "npz", "npy", "hdf5", "keras"]


MOST_BYTES: Final = 2 * 2**30  # of all arrays of a file together


MOST_ARRAYS: Final = 10_000


LONGEST_HEADER: Final = 100_000_000  # as in the definition of safetensors


MOST_DIMENSIONS: Final = 32


LONGEST_TEXT: Final = 1000


KERAS_MEMBERS: Final = {"config.json", "model.weights.h5"}  # of a whole model as Keras 3 saves it


# Names of safetensors' types → NumPy's; bfloat16 is the upper half of a float32.
SAFETENSORS_TYPES: Final = (
    {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "BOOL": "?"}
    | {"I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1"}
    | {"U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1"}
)


# What zipfile raises at damage: RuntimeError and NotImplementedError too, for encryption and for unknown methods.
DAMAGE: Final = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError, ValueError)


PICKLED: Final = (
    "is a pickle, which runs code when it is loaded, and is not opened. A checkpoint of PyTorch becomes a safetensors "
    "file by: dynatlas convert {path} NEW.safetensors"
)


class Declared(NamedTuple):
    """What a header says of one array."""

    shape: tuple[int, ...]
    bytes: int


def read_arrays(path: Path) -> tuple[Format, Arrays]:
    """All arrays of a file, by their names, and the format it has.

    The one array of a ``.npy`` file has the name "array". HDF5 and archives of Keras are told, and read by ``hdf5`` and
    ``keras_archive``.

    Raises:
        NetworkError: no such file, not a plain file, none of the formats, or one that is damaged or not to be trusted.
    """
    form = format_of(path)
    with path.open("rb") as file:
        if form == "safetensors":
            return form, _read_safetensors(path, file)
        if form == "npz":
            return form, _read_npz(path, file)
        if form == "npy":
            return form, {"array": _read_npy(f"{path}", file, path.stat().st_size)}
    return form, {}


def format_of(path: Path) -> Format:
    """The format of a file, from its first bytes.

    Raises:
        NetworkError: no such file, not a plain file, or none of the formats.
    """
    head = first_bytes(path, "a file of weights")
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return "hdf5"
    if head.startswith(b"\x93NUMPY"):
        return "npy"
    if head.startswith(b"PK"):
        return "keras" if _names(path) >= KERAS_MEMBERS else "npz"
    # A pickle of protocol 2 or later begins with 0x80, and so may the length in front of a safetensors header.
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= LONGEST_HEADER:
        return "safetensors"
    if head.startswith(b"\x80") or path.suffix in {".pt", ".pth", ".pkl", ".pickle", ".ckpt"}:
        raise NetworkError(f"{path} {PICKLED.format(path=path)}")
    raise NetworkError(
        f"{path} ({path.stat().st_size} bytes) is no file of weights that is known here; expected "
        ".safetensors, .npz, .npy or Keras' .keras or .h5, as told by its first bytes"
    )


def first_bytes(path: Path, expected: str) -> bytes:
    """How a file begins, which tells its format better than its name.

    Args:
        path: the file.
        expected: what to say was expected where there is none: "a file of weights".

    Raises:
        NetworkError: no such file, or not a plain file.
    """
    try:
        kind = path.lstat()
    except OSError as error:
        raise NetworkError(f"cannot read {path}: {error.strerror}") from None
    if stat.S_ISLNK(kind.st_mode):
        raise NetworkError(f"{path} is a symbolic link; name the file that it points to: {path.resolve()}")
    if not stat.S_ISREG(kind.st_mode):
        what = "a folder" if path.is_dir() else "no regular file"
        raise NetworkError(f"{path} is {what}; expected {expected}")
    try:
        with path.open("rb") as file:
            return file.read(16)
    except OSError as error:
        raise NetworkError(f"cannot read {path}: {error.strerror}") from None


def checked(path: Path | str, declared: dict[str, Declared]) -> None:
    """Refuse, before anything is allocated, a file that says it holds more than anyone would read."""
    if len(declared) > MOST_ARRAYS:
        raise NetworkError(f"{path} lists {len(declared)} arrays; expected at most {MOST_ARRAYS}")
    for name, one in declared.items():
        if len(one.shape) > MOST_DIMENSIONS or any(size < 0 for size in one.shape):
            raise NetworkError(f"{path}: {name!r} has the shape {_short(one.shape)}, which no array can have")
        if one.bytes > MOST_BYTES:
            raise NetworkError(
                f"{path}: {name!r} has the shape {_short(one.shape)} and would take {one.bytes:.3g} bytes; expected at "
                f"most {MOST_BYTES:.3g}"
            )
    total = sum(one.bytes for one in declared.values())
    if total > MOST_BYTES:
        raise NetworkError(f"{path} holds {total:.3g} bytes of arrays; expected at most {MOST_BYTES:.3g}")


def _short(shape: tuple[int, ...]) -> str:
    text = str(shape)
    return text if len(text) <= 80 else f"{text[:80]}…"


def _read_safetensors(path: Path, file: BinaryIO) -> Arrays:
    """The header is JSON: name → type, shape, and where the bytes are; all is held against the file's size."""
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
        raise NetworkError(f"{path} is damaged: its header is not that of a safetensors file ({error})") from None
    for name, kind in types.items():
        if kind is None:
            raise NetworkError(f"{path}: {name!r} has the type {entries[name]['dtype']!r}; expected floats or integers")
    kinds = {name: np.dtype(kind) for name, kind in types.items()}
    sizes = {name: math.prod(shapes[name]) * kinds[name].itemsize for name in entries}
    checked(path, {name: Declared(shapes[name], sizes[name]) for name in entries})
    end = 0
    for name, (begin, stop) in sorted(places.items(), key=lambda item: item[1]):
        if begin != end or stop - begin != sizes[name]:
            raise NetworkError(
                f"{path} is damaged: {name!r} with the shape {shapes[name]} should take {sizes[name]} bytes from {end} "
                f"on, and its header says {begin} to {stop}"
            )
        end = stop
    if 8 + length + end != size:
        raise NetworkError(f"{path} is truncated or has something behind its end: {8 + length + end} bytes of {size}")

    def load(name: str) -> NDArray[Any]:
        file.seek(8 + length + places[name][0])
        values = np.frombuffer(file.read(sizes[name]), kinds[name])
        if entries[name]["dtype"] == "BF16":
            values = (values.astype(np.uint32) << 16).view(np.float32)
        return values.reshape(shapes[name])

    return {name: load(name) for name in entries}


def _read_npz(path: Path, file: BinaryIO) -> Arrays:
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            _refuse_odd_members(path, members)
            kept = {member.filename.removesuffix(".npy"): member for member in members}
            if len(kept) != len(members):
                raise NetworkError(f"{path} is damaged: it has two arrays of one name")
            checked(path, {name: Declared((), member.file_size) for name, member in kept.items()})
            loaded: Arrays = {}
            for name, member in kept.items():
                with archive.open(member) as content:
                    loaded[name] = _read_npy(f"{path}: {name!r}", content, member.file_size)
            return loaded
    except DAMAGE as error:
        raise NetworkError(f"{path} is damaged or truncated: {error}") from None


def _names(path: Path) -> set[str]:
    """The names of an archive's members; none of one that cannot be read, which whoever reads it explains."""
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
            raise NetworkError(f"{path} has a member {member.filename!r}; expected the arrays of an .npz file alone")


def refuse_unsafe_members(path: Path, members: list[zipfile.ZipInfo]) -> None:
    """Refuse an archive with a member that leads out of it, or is packed in an unusual way.

    Raises:
        NetworkError: there is one.
    """
    for member in members:
        name = member.filename
        if name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/") or ":" in name or "\0" in name:
            raise NetworkError(f"{path} has a member {name!r} whose name leads out of the archive; it is not opened")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise NetworkError(f"{path} has a member {name!r} that is a symbolic link; it is not opened")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise NetworkError(f"{path}: {name!r} is compressed in an unusual way; it is not opened")


def _read_npy(what: str, content: Any, size: int) -> NDArray[Any]:
    """One array: its header first, then no more bytes than that promises."""
    formats = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    try:
        version = np.lib.format.read_magic(content)
        read_header: Callable[..., tuple[tuple[int, ...], bool, np.dtype[Any]]] = formats[version]
        head = io.BytesIO(content.read(min(size, 20_000)))  # NumPy itself takes no header above 10,000 bytes
        shape, fortran, kind = read_header(head)
    except (ValueError, KeyError, EOFError, SyntaxError, RecursionError, MemoryError) as error:
        raise NetworkError(f"{what} is damaged: its header is not that of an array ({error})") from None
    if kind.hasobject:
        raise NetworkError(f"{what} holds Python objects, which are pickled, and pickles run code; it is not opened")
    if kind.kind not in "fiubU" or (kind.kind == "U" and kind.itemsize > 4 * LONGEST_TEXT):
        raise NetworkError(f"{what} is of the type {str(kind)[:80]}; expected numbers")
    if not all(type(number) is int for number in shape):
        raise NetworkError(f"{what} has the shape {_short(shape)}, which no array can have")
    nbytes = math.prod(shape) * kind.itemsize
    checked(what, {"array": Declared(shape, nbytes)})
    header = 8 + head.tell()
    if header + nbytes != size:
        raise NetworkError(
            f"{what} is truncated or damaged: the shape {_short(shape)} takes {nbytes} bytes, and {size - header} are "
            "there"
        )
    begun = head.read()
    values = begun + content.read(nbytes - len(begun))
    content.read(1)  # a member of an archive is held against its checksum at its end
    if len(values) != nbytes:
        raise NetworkError(f"{what} is truncated: {len(values)} of {nbytes} bytes are there")
    return np.frombuffer(values, kind).reshape(shape, order="F" if fortran else "C")
