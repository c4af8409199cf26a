"""Parts of messages: the first line of an error, spelling suggestions, counted nouns."""

import difflib
from collections.abc import Iterable


def first_line(error: Exception) -> str:
    """Return the first line of an error's message; JAX's messages have many."""
    return str(error).strip().split("\n")[0]


def did_you_mean(seen: str, known: Iterable[str], otherwise: str) -> str:
    """Suggest the known word nearest to ``seen``, or return ``otherwise`` if none is near.

    Example:
        >>> did_you_mean("flipflop", ["flip_flop", "sine_wave"], "")
        "did you mean 'flip_flop'?"
    """
    near = difflib.get_close_matches(seen, list(known), n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else otherwise


def count_of(number: int, what: str, several: str = "") -> str:
    """Return a counted noun: ``1 network``, ``3 networks``. ``several`` is an irregular plural."""
    return f"{number:,} {what if number == 1 else several or what + 's'}"


def listed(words: Iterable[str], last: str) -> str:
    """Join words with commas, and with ``last`` before the last one.

    Example:
        >>> listed(["gru", "lstm", "vanilla"], "and"), listed(["gru"], "and")
        ('gru, lstm and vanilla', 'gru')
    """
    *before, final = [*words] or [""]
    return f"{', '.join(before)} {last} {final}" if before else final


def sentence_case(words: str) -> str:
    """Capitalise the first letter and keep the others: “GO/NoGo task”."""
    return words[:1].upper() + words[1:]


def duration(seconds: float) -> str:
    """Format a duration in seconds, minutes, hours or days."""
    for size, unit in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} seconds"
