"""Standard error that never ends a command: its reader may be gone, or its disk full."""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any


class Unfailing:
    """A text stream whose output is lost where it cannot be written."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, or do nothing."""
        with contextlib.suppress(OSError, ValueError):  # ValueError: it is closed
            self._stream.write(text)
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        """Write several lines."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Flush, or do nothing."""
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        try:
            return self._stream.isatty()
        except ValueError:
            return False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def unfailing_errors() -> Iterator[None]:
    """Let nothing that is written to standard error fail, also when the process ends."""
    for descriptor in (0, 1, 2):  # or else a file that is opened later gets the number, and messages go into it
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    stream = sys.stderr
    if stream is None:
        yield
        return
    try:
        with contextlib.redirect_stderr(Unfailing(stream)):
            yield
    finally:
        _flush_or_drop(stream)


def drop_output(stream: Any) -> None:
    """Send what a stream still holds, and all that follows, nowhere."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _flush_or_drop(stream: Any) -> None:
    try:
        stream.flush()
    except (OSError, ValueError):
        drop_output(stream)
