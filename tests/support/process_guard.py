"""The guard that keeps processes out of tests that do not ask for them with the fixture ``processes``."""

import functools
import sys
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

# What libraries ask the machine once: joblib for its cores, matplotlib for its fonts.
QUESTIONS = frozenset(["lscpu", "fc-list"])

_allowed = True


def set_allowed(allowed: bool) -> None:
    """Let processes be started from here on, or not."""
    global _allowed  # noqa: PLW0603 - an audit hook has no other way to be told
    _allowed = allowed


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
    if not _allowed:
        raise RuntimeError(f"this test starts a process ({what}) without the fixture `processes`")
