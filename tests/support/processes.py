"""Python processes for tests, and simulated crashes."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


class Crash(BaseException):
    """Simulated kill of the process; no handler catches it."""


def failing_after(calls: int, error: BaseException) -> Callable[..., None]:
    """Return an ``os.replace`` or ``os.fsync`` that fails after ``calls`` calls; renames by zarr succeed."""
    real, made = os.replace, []

    def fail(*paths: object) -> None:
        if str(paths[0]).endswith(".partial"):
            real(*paths)  # type: ignore[arg-type]
            return
        made.append(paths)
        if len(made) > calls:
            raise error
        real(*paths)  # type: ignore[arg-type]

    return fail


def stop_this_process() -> None:
    """Send SIGTERM to this process, if somebody handles it: else it would end the tests."""
    assert signal.getsignal(signal.SIGTERM) != signal.SIG_DFL
    os.kill(os.getpid(), signal.SIGTERM)


def python_arguments(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def python_environment(**extra: str) -> dict[str, str]:
    root = Path(__file__).parents[2]
    return {**os.environ, "PYTHONPATH": f"{root / 'src'}{os.pathsep}{root / 'tests'}", "JAX_PLATFORMS": "cpu", **extra}


def run_python(code: str, **environment: str) -> None:
    subprocess.run(python_arguments(code), env=python_environment(**environment), check=True, timeout=120)


@contextmanager
def started_python(code: str) -> Iterator[subprocess.Popen[str]]:
    """Start a Python process, and kill it at the end of the context."""
    with subprocess.Popen(
        python_arguments(code), env=python_environment(), stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()
