"""What an object says of itself in a terminal and in a notebook: a title, a few named lines, what to do next."""

import textwrap
from abc import abstractmethod
from html import escape
from typing import NamedTuple

WIDTH = 80  # columns of a terminal


# Colours are the notebook's own, so that a card can be read in its light and in its dark mode.
_TABLE = "border-collapse:collapse;margin:.3em 0;background:none"


_CELL = "text-align:left;vertical-align:top;padding:.1em .8em .1em 0;white-space:pre-wrap;background:none"


class Card(NamedTuple):
    """The same few facts, as text and as HTML.

    Example:
        >>> print(Card("Study 'demo'", (("tasks", "flip_flop"), ("networks", "72 in 24 blocks")), "run(…)").text())
        Study 'demo'
          tasks     flip_flop
          networks  72 in 24 blocks
        next: run(…)
    """

    title: str
    rows: tuple[tuple[str, str], ...]
    following: str = ""  # what to call next

    def text(self) -> str:
        """Lines of at most 80 columns; a value that is longer goes on below itself."""
        names = max((len(name) for name, _ in self.rows), default=0)
        lines = [_wrapped(self.title, "", "  ")]
        lines += [_wrapped(value, f"  {name:<{names}}  ", " " * (names + 4)) for name, value in self.rows]
        if self.following:
            lines.append(_wrapped(self.following, "next: ", "      "))
        return "\n".join(lines)

    def html(self) -> str:
        """A small table; every text in it is escaped."""
        rows = "".join(
            f'<tr style="background:none"><th scope="row" style="{_CELL};font-weight:normal;opacity:.7">'
            f'{escape(name)}</th><td style="{_CELL}">{escape(_printable(value))}</td></tr>'
            for name, value in self.rows
        )
        code = f"<div>next: <code>{escape(_printable(self.following))}</code></div>" if self.following else ""
        return (
            f'<div><strong>{escape(_printable(self.title))}</strong><table style="{_TABLE}">{rows}</table>{code}</div>'
        )


class Shown:
    """Shows itself as its card."""

    @abstractmethod
    def _card(self) -> Card: ...

    def __repr__(self) -> str:
        return self._card().text()

    def __str__(self) -> str:
        return repr(self)

    def _repr_html_(self) -> str:
        return self._card().html()


def _printable(text: str) -> str:
    """A text in which nothing moves a terminal's cursor or hides the rest of the line."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


def _wrapped(text: str, first: str, later: str) -> str:
    """A line, or several of at most 80 columns; a path or a name that is longer stays whole, to be copied."""
    return textwrap.fill(
        _printable(text),
        WIDTH,
        initial_indent=first,
        subsequent_indent=later,
        break_long_words=False,
        break_on_hyphens=False,
        drop_whitespace=True,
    )
