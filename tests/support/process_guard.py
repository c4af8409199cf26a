"""Guard against processes in tests without the fixture ``processes``."""

import functools
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

# Commands that libraries run once: joblib for the number of cores, matplotlib for the fonts.
ALLOWED_COMMANDS = frozenset(["lscpu", "fc-list"])

_refused: list[str] | None = None  # refused processes; None while processes are allowed


@contextmanager
def no_processes() -> Iterator[None]:
    """Refuse processes, and raise again at the end, because libraries may swallow the first error.

    Raises:
        RuntimeError: the code in the context tried to start a process.
    """
    global _refused  # noqa: PLW0603 - the audit hook reads it
    refused: list[str] = []
    _refused = refused
    try:
        yield
    finally:
        _refused = None
    if refused:
        raise RuntimeError(_message(refused[0]))


@functools.cache
def install_guard() -> None:
    """Install an audit hook on every way to start a process."""
    sys.addaudithook(_audited)
    start = BaseProcess.start

    @functools.wraps(start)
    def guarded(self: BaseProcess) -> None:
        _refuse(f"{type(self).__name__} {self.name}")  # raises no audit event
        start(self)

    BaseProcess.start = guarded  # type: ignore[method-assign]


def _audited(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "subprocess.Popen" and Path(str(arguments[0])).name not in ALLOWED_COMMANDS:
        _refuse(str(arguments[1]))
    elif event in ("os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system"):
        _refuse(event)


def _refuse(what: str) -> None:
    if _refused is not None:
        _refused.append(what)
        raise RuntimeError(_message(what))


def _message(what: str) -> str:
    return f"this test starts a process ({what}) without the fixture `processes`"
