"""Progress file of a running study: the run writes it, `dynatlas status` reads it."""

import math
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat, NonNegativeInt, ValidationError

from dynatlas._util.json import Json
from dynatlas.atlas.atlas import Atlas
from dynatlas.errors import AtlasError
from dynatlas.pipeline.progress import LOG, RunProgress

INTERVAL = 5.0  # seconds between writes
SILENCE = 60.0  # seconds without a write after which the run counts as dead
WINDOW = 600.0  # seconds over which rates are averaged


def _is_printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("expected printable characters")
    return text


def _is_moment(text: str) -> str:
    if datetime.fromisoformat(text).tzinfo is None:
        raise ValueError("expected a time zone")
    datetime.fromisoformat(text).timestamp()
    return text


_Printable = Annotated[str, AfterValidator(_is_printable)]
_Moment = Annotated[str, AfterValidator(_is_moment)]


class StatusFile:
    """Forward a run's reports to its display and write them to the atlas's progress file."""

    def __init__(self, atlas: Atlas, display: RunProgress, clock: Callable[[], float] = time.time):
        self._atlas, self._display, self._clock = atlas, display, clock
        self._started = clock()
        self._written = -math.inf
        self._stages: dict[str, dict[str, int]] = {}
        self._running: dict[str, Json] = {}
        # (time, iterations × networks, networks including fractions) done by this run
        self._work: deque[tuple[float, float, float]] = deque()
        self._lock = threading.Lock()  # reports arrive in the client's thread

    def stage(self, name: str, done: int, total: int) -> None:
        """Report the finished units of a stage."""
        self._shown(lambda: self._display.stage(name, done, total))
        with self._lock:
            self._stages[name] = {"done": done, "total": total}
            if name == "training":  # blocks at their last iteration are counted in ``done``
                self._running = {
                    block: news for block, news in self._running.items() if news["iterations"] < news["of"]
                }

    def training(self, block: str, networks: int, iterations: int, of: int, loss: float) -> None:
        """Report the progress of a block."""
        self._shown(lambda: self._display.training(block, networks, iterations, of, loss))
        with self._lock:
            # Count from a block's first report: it may have resumed from a checkpoint.
            before = self._running.get(block, {}).get("iterations", iterations)
            steps = max(iterations - before, 0)
            _, total, shares = self._work[-1] if self._work else (0.0, 0.0, 0.0)
            self._work.append((self._clock(), total + steps * networks, shares + networks * steps / of))
            while self._clock() - self._work[0][0] > WINDOW and len(self._work) > 2:
                self._work.popleft()
            self._running[block] = {
                "networks": networks,
                "iterations": iterations,
                "of": of,
                "loss": loss if math.isfinite(loss) else None,
            }

    def note(self, text: str) -> None:
        """Forward a note."""
        self._shown(lambda: self._display.note(text))

    def _shown(self, show: Callable[[], None]) -> None:
        """Show something: a display that fails must not end the work."""
        try:
            show()
        except Exception as error:
            LOG.debug("the progress display failed: %r", error)

    def write(self) -> None:
        """Write the file if the interval has passed."""
        if self._clock() - self._written >= INTERVAL:
            self._write("running")

    def close(self, state: str) -> None:
        """Write the final state: "finished", "stopped" or "failed"."""
        self._write(state)

    def _write(self, state: str) -> None:
        self._written = self._clock()
        with suppress(AtlasError):  # a full disk stops the run elsewhere, with a message
            self._atlas.write_progress(self._content(state))

    def _content(self, state: str) -> Json:
        now = self._clock()
        with self._lock:
            steps_per_second, networks_per_second = self._rates(now)
            training = self._stages.get("training", {"done": 0, "total": 0})
            shares = sum(news["networks"] * news["iterations"] / news["of"] for news in self._running.values())
            left = max(training["total"] - training["done"] - shares, 0.0)
            return {
                "state": state,
                "started": _as_text(self._started),
                "updated": _as_text(now),
                "host": socket.gethostname(),
                "pid": os.getpid(),
                "stages": dict(self._stages),
                "blocks": dict(self._running) if state == "running" else {},
                "iterations_per_second": steps_per_second,
                "networks_per_hour": networks_per_second and networks_per_second * 3600,
                "training_seconds_left": left / networks_per_second if networks_per_second else None,
            }

    def _rates(self, now: float) -> tuple[float | None, float | None]:
        """Return recent rates per second: (iterations of single networks, networks)."""
        if len(self._work) < 2 or self._work[-1][1] == self._work[0][1]:
            return None, None
        (begin, *first), (_, *last) = self._work[0], self._work[-1]
        seconds = max(now - begin, 1e-9)
        return (last[0] - first[0]) / seconds, (last[1] - first[1]) / seconds


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True)


class _Counts(_Strict):
    done: NonNegativeInt
    total: NonNegativeInt


class _Block(_Strict):
    networks: NonNegativeInt
    iterations: NonNegativeInt
    of: NonNegativeInt
    loss: FiniteFloat | None


class _Progress(_Strict):
    """What the file holds."""

    state: Literal["running", "finished", "stopped", "failed"]
    started: _Moment
    updated: _Moment
    host: _Printable
    pid: Annotated[int, Field(gt=0, lt=2**31)]
    stages: dict[_Printable, _Counts]
    blocks: dict[_Printable, _Block]
    iterations_per_second: FiniteFloat | None
    networks_per_hour: FiniteFloat | None
    training_seconds_left: FiniteFloat | None


def progress_of(atlas: Atlas) -> Json:
    """Return what the latest run last wrote; empty before the first, and if the file is not one that a run writes."""
    content = atlas.progress
    try:
        _Progress.model_validate(content)
    except ValidationError:
        return {}
    return content


def age(progress: Mapping[str, Any], now: float | None = None) -> float:
    """Return the seconds since the file was written; the clocks of two machines may differ."""
    updated = datetime.fromisoformat(progress["updated"]).timestamp()
    return max((time.time() if now is None else now) - updated, 0.0)


def seems_gone(progress: Mapping[str, Any], now: float | None = None) -> bool:
    """Whether the file says "running" and its run has died."""
    if progress["state"] != "running":
        return False
    if progress["host"] == socket.gethostname():
        try:
            os.kill(progress["pid"], 0)
        except ProcessLookupError:
            return True
        except PermissionError:  # alive, of another user
            pass
    return age(progress, now) > SILENCE


def _as_text(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")
