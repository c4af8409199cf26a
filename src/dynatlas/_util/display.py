"""Text and HTML representations for terminals and notebooks: a title, labelled rows, the next call."""

import textwrap
from abc import abstractmethod
from html import escape
from typing import NamedTuple

WIDTH = 80  # columns of a terminal

# No colours: the notebook's own keep the table readable in its light and its dark theme.
_TABLE = "border-collapse:collapse;margin:.3em 0;background:none"
_CELL = "text-align:left;vertical-align:top;padding:.1em .8em .1em 0;white-space:pre-wrap;background:none"


class Summary(NamedTuple):
    """The main facts about an object, rendered as text or as HTML.

    Example:
        >>> print(Summary("Study 'demo'", (("tasks", "flip_flop"), ("networks", "72 in 24 blocks")), "run(…)").text())
        Study 'demo'
          tasks     flip_flop
          networks  72 in 24 blocks
        next: run(…)
    """

    title: str
    rows: tuple[tuple[str, str], ...]
    next_call: str = ""

    def text(self) -> str:
        """Render as lines of at most 80 columns; longer values wrap within their column."""
        names = max((len(name) for name, _ in self.rows), default=0)
        lines = [_wrapped(self.title, "", "  ")]
        lines += [_wrapped(value, f"  {name:<{names}}  ", " " * (names + 4)) for name, value in self.rows]
        if self.next_call:
            lines.append(_wrapped(self.next_call, "next: ", "      "))
        return "\n".join(lines)

    def html(self) -> str:
        """Render as a small HTML table with all text escaped."""
        rows = "".join(
            f'<tr style="background:none"><th scope="row" style="{_CELL};font-weight:normal;opacity:.7">'
            f'{escape(name)}</th><td style="{_CELL}">{escape(_printable(value))}</td></tr>'
            for name, value in self.rows
        )
        code = f"<div>next: <code>{escape(_printable(self.next_call))}</code></div>" if self.next_call else ""
        return (
            f'<div><strong>{escape(_printable(self.title))}</strong><table style="{_TABLE}">{rows}</table>{code}</div>'
        )


class SummaryRepr:
    """Mixin that represents an object by its summary."""

    @abstractmethod
    def _summary(self) -> Summary: ...

    def __repr__(self) -> str:
        return self._summary().text()

    def __str__(self) -> str:
        return repr(self)

    def _repr_html_(self) -> str:
        return self._summary().html()


def _printable(text: str) -> str:
    """Escape characters that could move a terminal's cursor or hide the rest of a line."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


def _wrapped(text: str, first: str, later: str) -> str:
    """Wrap text at 80 columns; longer words, such as paths, stay whole so that they can be copied."""
    return textwrap.fill(
        _printable(text),
        WIDTH,
        initial_indent=first,
        subsequent_indent=later,
        break_long_words=False,
        break_on_hyphens=False,
        drop_whitespace=True,
    )
