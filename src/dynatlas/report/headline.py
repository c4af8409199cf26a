"""The study in one sentence of numbers, and what each factor explains in words."""

from typing import Any

import pandas as pd

from dynatlas.cards import count_of
from dynatlas.figures.captions import left_out
from dynatlas.figures.reading import AtlasLike, table
from dynatlas.report.shares import SharesRow


def summary(atlas: AtlasLike) -> dict[str, Any]:
    """How many networks were trained, passed, and were left out by reason."""
    networks = table(atlas, "networks")
    return {
        "trained": len(networks),
        "tasks": len(set(networks["task"])),
        "passed": int(networks["passed"].sum()),
        "left_out": left_out(networks),
        "sentence": _summary_sentence(networks),
    }


def _summary_sentence(networks: pd.DataFrame) -> str:
    passed = int(networks["passed"].sum())
    text = (
        f"{count_of(len(networks), 'network')} trained on {count_of(networks['task'].nunique(), 'task')}; "
        f"{passed:,} passed and {'is' if passed == 1 else 'are'} analysed"
    )
    reasons = left_out(networks)
    if not reasons:
        return f"{text}; none was left out."
    listed = "; ".join(f"{count:,} because {reason}" for reason, count in reasons.items())
    return f"{text}; {len(networks) - passed:,} left out: {listed}."


def sentence(rows: list[SharesRow], factor: str) -> str:
    """One factor of one task in words: where it explains more than chance would, and where not."""
    found: dict[bool, list[str]] = {True: [], False: []}
    for row in rows:
        share = row.shares.get(factor)
        if share is not None and share.is_tested:
            names = {"geometry": f"{row.measure} geometry", "topology": f"{row.measure}s"}
            where = names.get(row.aspect, row.aspect)
            found[not share.is_chance].append(f"{where} ({share.text} of the variance, {share.p_text})")
    name = factor.capitalize() if factor != "l2" else "L2"
    yes, no = _listed(found[True], "and"), _listed(found[False], "or")
    if yes and no:
        return f"{name} tells networks apart in {yes}, but not beyond chance in {no}."
    if yes:
        return f"{name} tells networks apart in {yes}."
    return f"{name} does not tell networks apart beyond chance in {no}." if no else ""


def _listed(items: list[str], word: str) -> str:
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} {word} {items[-1]}"
