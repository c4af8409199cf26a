"""A window of time around an event of each trial."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from dynatlas.errors import NetworkError

Bounds = Sequence[float | int]  # begin and end


class Window(NamedTuple):
    """The part of each trial that is read: event + begin ≤ time < event + end.

    Attributes:
        begin: in the recording's unit of time (seconds in NWB), relative to the event.
        end: as ``begin``.
        event: the name of the column with each trial's event; "" for the start of the trial.
    """

    begin: float
    end: float
    event: str = ""

    @property
    def said(self) -> str:
        """Description, such as "from −0.2 to 0.6 around go_cue"."""
        return f"from {self.begin:g} to {self.end:g} around {self.event or 'the start of the trial'}"

    @classmethod
    def of(cls, align: str | None, window: Bounds | None) -> "Window | None":
        """Check an event and a window; None if neither is set.

        Raises:
            NetworkError: an event without a window, or a window that does not end after it begins.

        Example:
            >>> Window.of("go_cue", (0, 0.6)).said
            'from 0 to 0.6 around go_cue'
        """
        if window is None:
            if align is not None:
                raise NetworkError(
                    f"align is {align!r} and window is not set; set the window around the event with window=(0, 0.6) "
                    "(--window 0:0.6)"
                )
            return None
        if len(window) != 2 or not all(map(math.isfinite, window)) or not window[0] < window[1]:
            raise NetworkError(
                f"window is {tuple(window)}; expected two times, begin < end, such as (0, 0.6) (--window 0:0.6)"
            )
        return cls(float(window[0]), float(window[1]), align or "")


def parse_window(text: str) -> tuple[float, float]:
    """Return the two times of a window written as begin:end.

    Raises:
        NetworkError: not two numbers.

    Example:
        >>> parse_window("-0.2:0.6")
        (-0.2, 0.6)
    """
    begin, _, end = text.partition(":")
    try:
        return float(begin), float(end)
    except ValueError:
        raise NetworkError(f"window is {text!r}; expected begin:end, such as 0:0.6") from None
