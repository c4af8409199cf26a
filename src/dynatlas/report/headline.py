"""The study in one sentence of numbers, and how much each factor explains, in a table and in words."""

import math
from typing import Any, NamedTuple

import pandas as pd

from dynatlas.figures.captions import count_of, left_out
from dynatlas.figures.distances import SIGNIFICANT, p_text
from dynatlas.figures.reading import AtlasLike, table, tasks
from dynatlas.figures.style import MEASURES, TASK_TITLES
from dynatlas.report.maps import aspect


class Effect(NamedTuple):
    """One cell of the headline table."""

    r2: float
    p: float

    @property
    def known(self) -> bool:
        """Whether there is a number to show."""
        return not math.isnan(self.r2)

    @property
    def significant(self) -> bool:
        """Whether the factor explains more than chance would."""
        return self.p < SIGNIFICANT

    @property
    def p_text(self) -> str:
        """The p-value after its letter."""
        return p_text(self.p)

    @property
    def percent(self) -> str:
        """R² as people write it."""
        return f"{100 * self.r2:.0f} %"


class HeadlineRow(NamedTuple):
    """One distance matrix: what each factor explains of it."""

    task: str
    title: str
    measure: str
    kind: str  # geometry, topology or linearized dynamics
    n_networks: int
    effects: dict[str, Effect]  # factor → effect


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


def headline(atlas: AtlasLike) -> list[HeadlineRow]:
    """The table ``effects``, one row per task and measure.

    Raises:
        Missing: it is not stored.
    """
    stored = table(atlas, "effects")
    rows = []
    for task in tasks(atlas):
        for measure, of_measure in stored[stored["task"] == task].groupby("measure", sort=False):
            effects = {
                factor: Effect(float(r2), float(p))
                for factor, r2, p in of_measure[["factor", "r2", "p_adjusted"]].itertuples(index=False, name=None)
            }
            name = str(measure)
            n_networks = int(of_measure["n_networks"].iloc[0])
            rows.append(
                HeadlineRow(task, TASK_TITLES[task], MEASURES.get(name, name), aspect(name), n_networks, effects)
            )
    return rows


def sentence(rows: list[HeadlineRow], factor: str) -> str:
    """One factor of one task in words: where it explains more than chance would, and where not."""
    found: dict[bool, list[str]] = {True: [], False: []}
    for row in rows:
        effect = row.effects.get(factor)
        if effect is not None and effect.known:
            names = {"geometry": f"{row.measure} geometry", "topology": f"{row.measure}s"}
            where = names.get(row.kind, row.kind)
            found[effect.significant].append(f"{where} ({effect.percent} of the variance, p {effect.p_text})")
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
