"""One bound on the memory that arrays of a file may take, checked before anything is allocated."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Final, NamedTuple

from dynatlas.errors import NetworkError

DEFAULT_GB: Final = 0.5  # a refusal stays below 2 GB: the file's numbers, a copy as float64, and the program
MAX_ARRAYS: Final = 10_000
MAX_DIMENSIONS: Final = 32

_gigabytes: ContextVar[float] = ContextVar("gigabytes", default=DEFAULT_GB)


class Declared(NamedTuple):
    """Shape and byte count of an array, as its header declares them."""

    shape: tuple[int, ...]
    bytes: int

    @property
    def needed(self) -> int:
        """Bytes in memory: numbers are computed with as float64, whatever their type in the file."""
        return max(self.bytes, 8 * math.prod(self.shape))


@contextmanager
def at_most(gigabytes: float | None) -> Iterator[None]:
    """Bound the arrays of each file that is read inside, in units of 1e9 bytes; None keeps the bound.

    Raises:
        NetworkError: not a positive number.
    """
    if gigabytes is None:
        yield
        return
    if not 0 < gigabytes < math.inf:
        raise NetworkError(f"max_gb is {gigabytes}; expected a positive number of gigabytes")
    token = _gigabytes.set(float(gigabytes))
    try:
        yield
    finally:
        _gigabytes.reset(token)


def max_gb() -> float:
    """Return the bound in force, in units of 1e9 bytes."""
    return _gigabytes.get()


def max_bytes() -> int:
    """Return the bound in force, in bytes."""
    return int(_gigabytes.get() * 1e9)


def check_bytes(path: Path | str, nbytes: int, what: str = "would take {} bytes") -> None:
    """Refuse what would take more memory than the bound.

    Args:
        path: the file, for the message.
        nbytes: bytes in memory.
        what: what takes them, with {} for their number.

    Raises:
        NetworkError: it would take more.
    """
    if nbytes > max_bytes():
        raise NetworkError(
            f"{path} {what.format(_approximate(nbytes))}; expected at most {max_bytes():.3g}: max_gb (--max-gb) raises "
            f"the limit of {max_gb():g} GB"
        )


def check_sizes(path: Path | str, declared: Mapping[str, Declared]) -> None:
    """Refuse a file whose declared arrays are too many or too large, before anything is allocated.

    Raises:
        NetworkError: an array has an impossible shape, or the file exceeds a limit.
    """
    if len(declared) > MAX_ARRAYS:
        raise NetworkError(f"{path} lists {len(declared)} arrays; expected at most {MAX_ARRAYS}")
    for name, one in declared.items():
        if len(one.shape) > MAX_DIMENSIONS or any(size < 0 for size in one.shape):
            raise NetworkError(f"{path}: {name[:80]!r} has the shape {short(one.shape)}, which no array can have")
        check_bytes(f"{path}: {name[:80]!r}", one.needed, f"has the shape {short(one.shape)} and would take {{}} bytes")
    check_bytes(path, sum(one.needed for one in declared.values()), "holds {} bytes of arrays")


def _approximate(number: int) -> str:
    """Return a number to three digits; a header may claim more bytes than a float can hold."""
    return f"{number:.3g}" if number < 10**300 else "over 1e+300"


def short(shape: tuple[int, ...]) -> str:
    """Return a shape as text, cut to 80 characters; numbers may have thousands of digits."""
    try:
        text = str(shape)
    except ValueError:  # more digits than Python converts
        return f"({len(shape)} sizes, too large to write)"
    return text if len(text) <= 80 else f"{text[:80]}…"
