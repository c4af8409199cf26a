"""The word that a search ends with, and why."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from dynatlas._util.messages import count_of
from dynatlas.dynamics.piecewise_linear.sum_law import SumLaw

Certificate = Literal["complete", "consistent", "supported", "incomplete", "not certifiable"]


class Verdict(NamedTuple):
    """A certificate and its reason in words."""

    certificate: Certificate
    reason: str


def verdict(
    *,
    law: SumLaw,
    index_sum: int,
    degenerate: int,
    singletons: int,
    uncountable: bool,
    open_ends: Sequence[str],
    cut: str,
) -> Verdict:
    """Return the certificate of a search.

    Args:
        law: what the indices of all roots sum to.
        index_sum: sum of the roots' indices.
        degenerate: roots without an index.
        singletons: roots that only one start reached.
        uncountable: whether there are more roots than starts can count.
        open_ends: why the Morse graph does not close.
        cut: which budget was spent before the search was finished; empty if none was.

    Example:
        >>> from dynatlas.dynamics.piecewise_linear.sum_law import BOX
        >>> facts = {"law": BOX, "degenerate": 0, "singletons": 0, "uncountable": False, "cut": ""}
        >>> verdict(index_sum=1, open_ends=[], **facts).certificate
        'complete'
        >>> verdict(index_sum=1, open_ends=["there is no stable point"], **facts)
        Verdict(certificate='consistent', reason='there is no stable point')
        >>> verdict(index_sum=0, open_ends=[], **facts)
        Verdict(certificate='incomplete', reason='the index sum is 0, not 1')
    """
    known = [law.reason] if law.reason else []
    doubts = [f"{count_of(singletons, 'root')} reached from one start only"] if singletons else []
    doubts += [*open_ends, *([cut] if cut else [])]
    failures = ["there are more roots than starts can count, as on a continuum"] if uncountable else []
    if law.expected is None:
        return Verdict("not certifiable", "; ".join([*known, *failures, *doubts]))
    if degenerate:
        failures.append(f"{count_of(degenerate, 'root')} too close to degenerate for an index")
    elif index_sum != law.expected:
        failures.append(f"the index sum is {index_sum}, not {law.expected}")
    closed = f"index sum {index_sum}, every boundary in the Morse graph explained, every root reached more than once"
    if not law.is_proven:
        # A sum that is only supported proves neither that a root is missing nor that none is.
        said: Certificate = "not certifiable" if failures else "supported"
        return Verdict(said, "; ".join([*known, *failures, *(doubts or ([] if failures else [closed]))]))
    if failures:
        return Verdict("incomplete", "; ".join([*failures, *([cut] if cut else []), *known]))
    if doubts:
        return Verdict("consistent", "; ".join([*doubts, *known]))
    return Verdict("complete", "; ".join([closed, *known]))
