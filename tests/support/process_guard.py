"""The guard that keeps processes out of tests that do not ask for them with the fixture ``processes``."""

import functools
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

# What libraries ask the machine once: joblib for its cores, matplotlib for its fonts.
QUESTIONS = frozenset(["lscpu", "fc-list"])

_refused: list[str] | None = None  # what was refused; None while everything is allowed


@contextmanager
def no_processes() -> Iterator[None]:
    """Refuse processes, and fail at the end if one was tried, as libraries try again instead of passing the error on.

    Raises:
        RuntimeError: a process was to be started.
    """
    global _refused  # noqa: PLW0603 - an audit hook has no other way to be told
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
    """Watch every way to start a process."""
    sys.addaudithook(_audited)
    start = BaseProcess.start

    @functools.wraps(start)
    def guarded(self: BaseProcess) -> None:
        _refuse(f"{type(self).__name__} {self.name}")  # tells no audit hook
        start(self)

    BaseProcess.start = guarded  # type: ignore[method-assign]


def _audited(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "subprocess.Popen" and Path(str(arguments[0])).name not in QUESTIONS:
        _refuse(str(arguments[1]))
    elif event in ("os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system"):
        _refuse(event)


def _refuse(what: str) -> None:
    if _refused is not None:
        _refused.append(what)
        raise RuntimeError(_message(what))


def _message(what: str) -> str:
    return f"this test starts a process ({what}) without the fixture `processes`"
