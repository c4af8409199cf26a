"""The word that a search ends with, and why."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from dynatlas._util.messages import count_of

Certificate = Literal["complete", "consistent", "incomplete", "not certifiable"]


class Verdict(NamedTuple):
    """A certificate and its reason in words."""

    certificate: Certificate
    reason: str


def verdict(
    *,
    has_box: bool,
    index_sum: int,
    degenerate: int,
    singletons: int,
    uncountable: bool,
    open_ends: Sequence[str],
    cut: str,
) -> Verdict:
    """Return the certificate of a search.

    Args:
        has_box: whether a box is known that the map maps into itself.
        index_sum: sum of the roots' indices.
        degenerate: roots without an index.
        singletons: roots that only one start reached.
        uncountable: whether there are more roots than starts can count.
        open_ends: why the Morse graph does not close.
        cut: which budget was spent before the search was finished; empty if none was.

    Example:
        >>> facts = {"has_box": True, "degenerate": 0, "singletons": 0, "uncountable": False, "cut": ""}
        >>> verdict(index_sum=1, open_ends=[], **facts).certificate
        'complete'
        >>> verdict(index_sum=1, open_ends=["there is no stable point"], **facts)
        Verdict(certificate='consistent', reason='there is no stable point')
        >>> verdict(index_sum=0, open_ends=[], **facts)
        Verdict(certificate='incomplete', reason='the index sum is 0, not 1')
    """
    doubts = [f"{count_of(singletons, 'root')} reached from one start only"] if singletons else []
    continuum = ["there are more roots than starts can count, as on a continuum"] if uncountable else []
    doubts += [*open_ends, *([cut] if cut else [])]
    if not has_box:
        doubts = continuum + doubts
        return Verdict("not certifiable", "; ".join(["no box is known that the map maps into itself", *doubts]))
    failures = list(continuum)
    if degenerate:
        failures.append(f"{count_of(degenerate, 'root')} too close to degenerate for an index")
    elif index_sum != 1:
        failures.append(f"the index sum is {index_sum}, not 1")
    if failures:
        return Verdict("incomplete", "; ".join([*failures, *([cut] if cut else [])]))
    if doubts:
        return Verdict("consistent", "; ".join(doubts))
    return Verdict(
        "complete", "index sum 1, every boundary in the Morse graph explained, every root reached more than once"
    )
