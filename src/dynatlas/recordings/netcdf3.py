"""NetCDF 3, which SciPy reads: a header that lies cannot make it allocate more than the file has."""

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np

from dynatlas.errors import NetworkError
from dynatlas.networks.files import MOST_BYTES
from dynatlas.recordings.choosing import choose
from dynatlas.recordings.hdf5_series import MARKS, Read, decoded


class _Capped(io.FileIO):
    """A file that never promises more bytes than are left in it: a header may ask for any number."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "r")
        self.size = path.stat().st_size

    def read(self, size: int | None = -1, /) -> bytes:
        left = max(self.size - self.tell(), 0)
        return super().read(left if size is None or size < 0 else min(size, left)) or b""


def read_netcdf3(path: Path, series: str | None) -> Read:
    """One variable.

    Raises:
        NetworkError: no such variable or several, a file that is damaged, or one that is too large.
    """
    from scipy.io import netcdf_file

    if path.stat().st_size > MOST_BYTES:
        raise NetworkError(f"{path} takes {path.stat().st_size:.3g} bytes; expected at most {MOST_BYTES:.3g}")
    try:
        with _Capped(path) as file, netcdf_file(file, "r", mmap=False) as content:
            numbers: dict[str, Any] = {
                name: each for name, each in content.variables.items() if each.data.dtype.kind in "fiu"
            }
            name = choose(path, {name: each.shape for name, each in numbers.items()}, series)
            values = np.array(numbers[name].data)
            attributes = {mark: getattr(numbers[name], mark) for mark in MARKS if hasattr(numbers[name], mark)}
    # What SciPy raises at damage, one for each thing that it takes for granted.
    except (
        *(OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError, MemoryError),
        *(UnicodeDecodeError, struct.error, AssertionError),
    ) as error:
        raise NetworkError(f"{path} is damaged, or no NetCDF 3 or 4: {error or type(error).__name__}") from None
    return decoded(values, attributes), (f"variable {name}",)
