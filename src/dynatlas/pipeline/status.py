"""How far a run is, for who asks from elsewhere: the run writes a small file, `dynatlas status` reads it."""

import math
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from dynatlas.atlas.atlas import Atlas
from dynatlas.errors import AtlasError
from dynatlas.pipeline.progress import RunProgress

INTERVAL = 5.0  # seconds between writings


SILENCE = 60.0  # seconds without one after which the run is taken to be gone


WINDOW = 600.0  # seconds that the rates are over


class StatusFile:
    """Passes on what a run reports, and keeps the atlas's progress file up to date with it."""

    def __init__(self, atlas: Atlas, display: RunProgress, clock: Callable[[], float] = time.time):
        self._atlas, self._display, self._clock = atlas, display, clock
        self._started = clock()
        self._written = -math.inf
        self._stages: dict[str, dict[str, int]] = {}
        self._running: dict[str, dict[str, Any]] = {}
        # (time, iterations × networks, networks) done by this run, the latter in fractions
        self._work: deque[tuple[float, float, float]] = deque()
        self._lock = threading.Lock()  # reports come in the client's thread

    def stage(self, name: str, done: int, total: int) -> None:
        """A stage has so many of its units done."""
        self._display.stage(name, done, total)
        with self._lock:
            self._stages[name] = {"done": done, "total": total}
            if name == "training":  # a block that had reached its end is among those done now
                self._running = {
                    block: news for block, news in self._running.items() if news["iterations"] < news["of"]
                }

    def training(self, block: str, networks: int, iterations: int, of: int, loss: float) -> None:
        """A block has come so far."""
        self._display.training(block, networks, iterations, of, loss)
        with self._lock:
            # The first news of a block is where its count begins: it may go on from a checkpoint.
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
        """Pass it on."""
        self._display.note(text)

    def write(self) -> None:
        """Write the file, if it is time again."""
        if self._clock() - self._written >= INTERVAL:
            self._write("running")

    def close(self, state: str) -> None:
        """Write it for the last time: "finished", "stopped" or "failed"."""
        self._write(state)

    def _write(self, state: str) -> None:
        self._written = self._clock()
        with suppress(AtlasError):  # a full disk stops the run elsewhere, with a message
            self._atlas.write_progress(self._content(state))

    def _content(self, state: str) -> dict[str, Any]:
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
        """(iterations of single networks, networks) per second, lately."""
        if len(self._work) < 2 or self._work[-1][1] == self._work[0][1]:
            return None, None
        (begin, *first), (_, *last) = self._work[0], self._work[-1]
        seconds = max(now - begin, 1e-9)
        return (last[0] - first[0]) / seconds, (last[1] - first[1]) / seconds


def age(progress: Mapping[str, Any], now: float | None = None) -> float:
    """Seconds since the file was written; clocks of two machines may differ a little."""
    updated = datetime.fromisoformat(progress["updated"]).timestamp()
    return max((time.time() if now is None else now) - updated, 0.0)


def seems_gone(progress: Mapping[str, Any], now: float | None = None) -> bool:
    """Whether a file that says "running" is all that is left of its run."""
    if progress["state"] != "running":
        return False
    if progress["host"] == socket.gethostname():
        try:
            os.kill(progress["pid"], 0)
        except ProcessLookupError:
            return True
        except PermissionError:  # there, and another user's
            pass
    return age(progress, now) > SILENCE


def _as_text(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")
