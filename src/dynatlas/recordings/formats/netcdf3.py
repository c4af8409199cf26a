"""Variables of NetCDF 3 files, which may be damaged: nothing is read but the header and the chosen variable."""

import io
import struct
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dynatlas._io.sizes import Declared, check_sizes
from dynatlas.errors import NetworkError
from dynatlas.recordings.formats.axes import ordered
from dynatlas.recordings.formats.beside import names_beside, with_others
from dynatlas.recordings.formats.hdf5 import MARKS, decoded
from dynatlas.recordings.formats.series import Read, choose
from dynatlas.recordings.formats.windows import Window

MOST_READS: Final = 1_000_000  # of a header, whose lists may claim any length
# SciPy does not validate the file: damage raises any of these.
DAMAGE: Final = (
    *(OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError, MemoryError),
    *(UnicodeError, struct.error, AssertionError, RecursionError, SyntaxError),
)
Along = dict[str, NDArray[Any]]
Found = tuple[NDArray[Any], dict[str, Any], list[str], Along, Along]


class _Capped(io.FileIO):
    """A file whose reads are capped in number, and at the bytes that are left: a header may ask for any number."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "r")
        self.size = path.stat().st_size
        self.reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self.reads += 1
        left = max(self.size - self.tell(), 0)
        if self.reads > MOST_READS or size is None or size < 0 or (size and not left):
            raise OSError("its header does not end")
        return super().read(min(size, left)) or b""


def read_netcdf3(path: Path, series: str | None, window: Window | None = None) -> Read:
    """Read one variable of a NetCDF 3 file.

    Raises:
        NetworkError: no variable or several have the name, or the file is damaged or too large.
    """
    from scipy.io import netcdf_file

    try:
        # Mapped: variables may overlap, and take many times the size of the file if each is read.
        with _Capped(path) as file, netcdf_file(file, "r", mmap=True) as content:
            name, (values, attributes, axes, coordinates, others) = _chosen(path, content.variables, series)
    except DAMAGE as error:
        reason = str(error)[:200] or type(error).__name__
        raise NetworkError(f"{path} is damaged, or is not NetCDF 3 or 4: {reason}") from None
    values, facts = ordered(str(path), decoded(values, attributes), axes, coordinates)
    values, sorted_by = with_others(path, name, values, others, window)
    return values, (f"variable {name}", *facts, *sorted_by)


def _chosen(path: Path, variables: dict[str, Any], series: str | None) -> tuple[str, Found]:
    """Copy the chosen variable; no reference to the mapped file remains."""
    numbers = {name: each for name, each in variables.items() if each.data.dtype.kind in "fiu"}
    shapes = {name: tuple(map(int, each.data.shape)) for name, each in numbers.items()}
    axes = {name: [str(axis) for axis in each.dimensions] for name, each in numbers.items()}
    name = choose(path, shapes, series)
    beside = [one for one in names_beside(name, shapes) if one not in axes[name]]
    check_sizes(path, {one: Declared(shapes[one], numbers[one].data.nbytes) for one in (name, *beside)})
    values = np.array(numbers[name].data)
    attributes = {mark: np.array(getattr(numbers[name], mark)) for mark in MARKS if hasattr(numbers[name], mark)}
    along = {
        axis: np.array(numbers[axis].data)
        for axis in axes[name]
        if axis in numbers and axis != name and len(shapes[axis]) == 1
    }
    return name, (values, attributes, axes[name], along, {one: np.array(numbers[one].data) for one in beside})
