"""The result for a recording in sentences, and what it does not imply."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pandas as pd

from dynatlas.atlas.schema import SIGNIFICANT
from dynatlas.figures.looks import factor_label, level_title

WARNING: Final = (
    "Geometry compares activity on the same samples. Networks with the same inputs share part of their geometry before "
    "any training (Maheswaranathan et al. 2019, figure 4), and networks that compute differently can share more. So a "
    "small distance does not imply that the recorded network computes like the trained one; dynamics, or responses to "
    "perturbations, would have to agree as well.",
    "Intervals are over networks and hold for this recording only: another animal or session may differ.",
)

Row = dict[str, Any]


def sentences(tables: Mapping[str, pd.DataFrame], recording: str, measure: str) -> list[str]:
    """Compare a recording's distances with the controls, and name the nearest kinds of networks."""
    controls = controls_by_name(tables, recording, measure)
    levels: Any = rows_of(tables, "levels", recording, measure).to_dict("records")
    return [
        _untrained_control(controls, levels),
        _surrogate_control(controls),
        *_scale(controls),
        *_nearest_kinds(tables, recording, measure),
    ]


def rows_of(tables: Mapping[str, pd.DataFrame], table: str, recording: str, measure: str) -> pd.DataFrame:
    """Return a table's rows of one recording and measure; an empty table if it does not exist."""
    if table not in tables:
        return pd.DataFrame()
    rows = tables[table]
    return rows[(rows["recording"] == recording) & (rows["measure"] == measure)].reset_index(drop=True)


def controls_by_name(tables: Mapping[str, pd.DataFrame], recording: str, measure: str) -> dict[str, Row]:
    """Return the controls of one recording and measure by name."""
    rows: Any = rows_of(tables, "controls", recording, measure).to_dict("records")
    return {row["control"]: row for row in rows}


def level_words(factor: str, level: str) -> str:
    """Return a level of the tables, a text, as people write it.

    Example:
        >>> level_words("l2", "1e-05"), level_words("dale", "True"), level_words("form", "rates")
        ('L2 1e-5', 'dale: yes', 'form: rates')
    """
    if level in ("True", "False"):
        return level_title(factor, level == "True")
    try:
        return level_title(factor, int(level) if level.isdecimal() else float(level))
    except ValueError:
        return level_title(factor, level)


def number(value: float) -> str:
    """Format a distance."""
    return (f"{value:.2f}" if abs(value) >= 0.095 or value == 0 else f"{value:.2g}").replace("-", "−")


def with_interval(row: Row) -> str:
    """Format a number with its 95 % interval, if it has one."""
    ends = f" ({number(row['low'])} to {number(row['high'])})" if row["low"] == row["low"] else ""
    return f"{number(row['value'])}{ends}"


def _untrained_control(controls: Mapping[str, Row], levels: Sequence[Row]) -> str:
    gain = controls["untrained minus trained"]
    numbers = (
        f"{with_interval(controls['trained'])} away, the same networks before training "
        f"{with_interval(controls['untrained'])} (difference {with_interval(gain)}, p = {gain['p']:.2g})."
    )
    if gain["p"] > SIGNIFICANT:
        nearer = [row for row in levels if row["gain_p"] <= SIGNIFICANT and row["gain"] > 0]
        if nearer:
            kinds = ", ".join(
                f"{level_words(row['factor'], row['level'])} (nearer by {number(row['gain'])}, p = {row['gain_p']:.2g})"
                for row in nearer
            )
            return f"Trained networks are not nearer than untrained ones as a whole: {numbers} Some kinds are: {kinds}."
        return (
            f"Trained networks are not measurably nearer than untrained ones: {numbers} By this measure the similarity "
            "is no evidence of learning."
        )
    if gain["value"] < 0:
        return (
            f"Trained networks are further than untrained ones: {numbers} By this measure training moves networks away "
            "from the recording."
        )
    return f"Trained networks are nearer than untrained ones: {numbers}"


def _surrogate_control(controls: Mapping[str, Row]) -> str:
    kind = "shifted trials" if "shifted trials" in controls else "shuffled time"
    value, p = number(controls[kind]["value"]), f"p = {controls[kind]['p']:.2g}"
    if controls[kind]["p"] <= SIGNIFICANT:
        return f"Surrogates of the recording ({kind}) are {value} away ({p})."
    return f"That is not measurably nearer than surrogates ({kind}: {value}, {p}): no evidence of similarity."


def _scale(controls: Mapping[str, Row]) -> list[str]:
    parts = []
    if "between trained networks" in controls:
        parts.append(f"two trained networks are {number(controls['between trained networks']['value'])} apart")
    if "own halves" in controls:
        parts.append(f"two halves of the recording’s units {number(controls['own halves']['value'])}")
    return [f"For scale: {', '.join(parts)}."] if parts else []


def _nearest_kinds(tables: Mapping[str, pd.DataFrame], recording: str, measure: str) -> list[str]:
    effects: Any = rows_of(tables, "effects", recording, measure).to_dict("records")
    levels = rows_of(tables, "levels", recording, measure)
    found = []
    for effect in effects:
        of_factor: Any = levels[levels["factor"] == effect["factor"]].to_dict("records")  # none of interactions
        if of_factor and effect["p_adjusted"] <= SIGNIFICANT:
            nearest = min(of_factor, key=lambda row: row["value"])
            label, factor = level_words(effect["factor"], nearest["level"]), factor_label(effect["factor"])
            found.append(
                f"{label} {with_interval(nearest)} ({factor} explains {100 * effect['r2']:.0f}\u00a0% of the "
                f"differences, p = {effect['p_adjusted']:.2g})"
            )
    if found:
        return [f"Nearest on average: {'; '.join(found)}."]
    return ["The nearest kind of network cannot be determined."] if effects else []
