"""Progress display: live bars on a terminal, plain lines in a log."""

import logging
import math
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Protocol, runtime_checkable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

PLAIN_INTERVAL = 60.0  # seconds between lines in a log
TOO_SOON = 20.0  # seconds since the first report before the time left is told
# Logs the begin and end of each job. Silent by default.
LOG = logging.getLogger("dynatlas")


LOG.addHandler(logging.NullHandler())


# Called by a running job with the iterations (or other units) done, and its loss.
Report = Callable[[int, float], None]


@runtime_checkable
class RunProgress(Protocol):
    """Receiver of a run's reports."""

    @abstractmethod
    def stage(self, name: str, done: int, total: int) -> None:
        """Report the finished units of a stage: networks in training, jobs elsewhere."""

    @abstractmethod
    def training(self, block: str, networks: int, iterations: int, of: int, loss: float) -> None:
        """Report the iterations that a block's networks have trained; ``loss`` is their median."""

    @abstractmethod
    def note(self, text: str) -> None:
        """Report a message."""


class Quiet:
    """Discard all reports."""

    def stage(self, name: str, done: int, total: int) -> None:
        """Do nothing."""

    def training(self, block: str, networks: int, iterations: int, of: int, loss: float) -> None:
        """Do nothing."""

    def note(self, text: str) -> None:
        """Do nothing."""


class _Counting:
    """Count of trained networks, including fractions of running blocks."""

    def __init__(self) -> None:
        self.done, self.total = 0.0, 0
        self._first: tuple[float, float] | None = None  # moment and networks done at the first report
        self._running: dict[str, tuple[int, float]] = {}  # block → (networks, share of their iterations)

    def stage(self, done: int, total: int) -> None:
        self.done, self.total = done, total
        # Blocks at their last iteration are counted in ``done``.
        self._running = {block: item for block, item in self._running.items() if item[1] < 1}

    def running(self, block: str, networks: int, share: float) -> float:
        """Record a block's progress; return the networks done, including fractions."""
        self._running[block] = (networks, share)
        return min(self.done + sum(count * part for count, part in self._running.values()), self.total)

    def seconds_left(self, done: float, now: float) -> float | None:
        """Estimate the seconds left from the speed since the first report; None while there is too little to tell.

        Before the first report workers start and compile, and an earlier run may have trained networks.
        """
        if self._first is None:
            self._first = now, done
        begun, before = self._first
        if now - begun < TOO_SOON or done <= before:
            return None
        return (now - begun) * (self.total - done) / (done - before)


class LiveProgress:
    """Bars on a terminal: networks done, the latest loss, the time left."""

    def __init__(self, console: Console):
        self._progress = Progress(
            TextColumn("{task.description:<24}"),
            BarColumn(bar_width=32),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("[dim]{task.fields[detail]}"),
            console=console,
        )
        self._bars: dict[str, int] = {}
        self._counting = _Counting()

    def __enter__(self) -> "LiveProgress":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def stage(self, name: str, done: int, total: int) -> None:
        """Update a stage's bar."""
        if name == "training":
            self._counting.stage(done, total)
        if name not in self._bars:
            self._bars[name] = self._progress.add_task(name, total=total, detail="")
        self._progress.update(self._bars[name], completed=done, total=total)  # type: ignore[arg-type]

    def training(self, block: str, networks: int, iterations: int, of: int, loss: float) -> None:
        """Update the training bar by fractions of networks, and show the loss."""
        done = self._counting.running(block, networks, iterations / of)
        detail = f"{block} {iterations}/{of}{_loss(loss)}"
        self._progress.update(self._bars["training"], completed=done, detail=detail)  # type: ignore[arg-type]

    def note(self, text: str) -> None:
        """Print above the bars."""
        self._progress.console.print(text, markup=False, highlight=False)


class PlainProgress:
    """Lines at an interval, for logs and pipes."""

    def __init__(self, console: Console):
        self._console = console
        self._last = time.monotonic()
        self._shown: dict[str, int] = {}
        self._counting = _Counting()

    def __enter__(self) -> "PlainProgress":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def stage(self, name: str, done: int, total: int) -> None:
        """Print a line when a stage is done or the interval has passed."""
        if name == "training":
            self._counting.stage(done, total)
        if done == self._shown.get(name, 0):
            return
        if done == total or self._due():
            self._shown[name], self._last = done, time.monotonic()
            unit = "networks" if name == "training" else "jobs"
            self._print(f"{name}: {done} of {total} {unit} done")

    def training(self, block: str, networks: int, iterations: int, of: int, loss: float) -> None:
        """Print a line when the interval has passed."""
        done = self._counting.running(block, networks, iterations / of)
        left = self._counting.seconds_left(done, time.monotonic())
        if self._due():
            self._last = time.monotonic()
            told = "" if left is None else f", about {left:,.0f} s left"
            now = f"{block} at {iterations}/{of}{_loss(loss)}"
            self._print(f"training: {done:.1f} of {self._counting.total} networks{told}; {now}")

    def note(self, text: str) -> None:
        """Print a line."""
        self._print(text)

    def _due(self) -> bool:
        return time.monotonic() - self._last >= PLAIN_INTERVAL

    def _print(self, text: str) -> None:
        moment = datetime.now().astimezone().isoformat(" ", "seconds")
        self._console.print(f"[{moment}] {text}", markup=False, highlight=False, soft_wrap=True)


def progress_on(console: Console) -> LiveProgress | PlainProgress:
    """Return live bars for a terminal, plain lines otherwise."""
    return LiveProgress(console) if console.is_terminal else PlainProgress(console)


@contextmanager
def every_job_noted(display: RunProgress) -> Iterator[None]:
    """Show log records on the display: the begin and end of each job, and retries."""
    handler, level = _Noting(display), LOG.level
    LOG.addHandler(handler)
    LOG.setLevel(logging.INFO)
    try:
        yield
    finally:
        LOG.removeHandler(handler)
        LOG.setLevel(level)


class _Noting(logging.Handler):
    def __init__(self, display: RunProgress) -> None:
        super().__init__()
        self._display = display

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(Exception):  # a display that fails must not end the work
            self._display.note(self.format(record))


def _loss(loss: float) -> str:
    """Format the loss after a comma; empty before the first one."""
    return f", loss {loss:.4g}" if math.isfinite(loss) else ""
