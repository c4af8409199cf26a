"""What the numbers say of a recording, and what they do not, in sentences."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pandas as pd

from dynatlas.atlas.schema import SIGNIFICANT
from dynatlas.figures.looks import ACTIVATIONS, architecture_label

WARNING: Final = (
    "Geometry compares the shape of activity on the same samples. Networks that see the same inputs share part of that "
    "shape before they have learned anything (Maheswaranathan et al. 2019, figure 4), and networks that compute in "
    "different ways can share more. So a small distance does not say that what was recorded computes as the network "
    "does; dynamics, or what happens under perturbation, would have to agree as well.",
    "Intervals are over networks, for the recording as it is: another animal, or another session, may lie elsewhere.",
)


Row = dict[str, Any]


def sentences(tables: Mapping[str, pd.DataFrame], recording: str, measure: str) -> list[str]:
    """Nearer than before training? Nearer than out of time? Which architecture? What to compare the distance with?"""
    controls = controls_by_name(tables, recording, measure)
    levels: Any = of(tables, "levels", recording, measure).to_dict("records")
    return [_training(controls, levels), _time(controls), *_scale(controls), *_factors(tables, recording, measure)]


def of(tables: Mapping[str, pd.DataFrame], table: str, recording: str, measure: str) -> pd.DataFrame:
    """The rows of one recording and measure; none where the table is not there."""
    if table not in tables:
        return pd.DataFrame()
    rows = tables[table]
    return rows[(rows["recording"] == recording) & (rows["measure"] == measure)].reset_index(drop=True)


def controls_by_name(tables: Mapping[str, pd.DataFrame], recording: str, measure: str) -> dict[str, Row]:
    """The controls of one recording and measure."""
    rows: Any = of(tables, "controls", recording, measure).to_dict("records")
    return {row["control"]: row for row in rows}


def level_label(factor: str, level: str) -> str:
    """A level of a factor as people write it."""
    if factor == "architecture":
        return architecture_label(level)
    return ACTIVATIONS[level].label if factor == "activation" else f"{factor} {level}"


def number(value: float) -> str:
    """A distance."""
    return (f"{value:.2f}" if abs(value) >= 0.095 or value == 0 else f"{value:.2g}").replace("-", "−")


def with_ends(row: Row) -> str:
    """A number and its 95 % interval, where there is one."""
    ends = f" ({number(row['low'])} to {number(row['high'])})" if row["low"] == row["low"] else ""
    return f"{number(row['value'])}{ends}"


def _training(controls: Mapping[str, Row], levels: Sequence[Row]) -> str:
    gain = controls["untrained minus trained"]
    numbers = (
        f"{with_ends(controls['trained'])} away, the same networks before training "
        f"{with_ends(controls['untrained'])} (difference {with_ends(gain)}, p = {gain['p']:.2g})."
    )
    if gain["p"] > SIGNIFICANT:
        brought = [row for row in levels if row["gain_p"] <= SIGNIFICANT and row["gain"] > 0]
        if brought:
            kinds = ", ".join(
                f"{level_label(row['factor'], row['level'])} (nearer by {number(row['gain'])}, p = {row['gain_p']:.2g})"
                for row in brought
            )
            return f"Trained networks are not nearer than untrained ones as a whole: {numbers} Some kinds are: {kinds}."
        return (
            f"Trained networks are not measurably nearer than untrained ones: {numbers} By this measure the likeness "
            "is no sign of anything learned."
        )
    if gain["value"] < 0:
        return (
            f"Trained networks are further than untrained ones: {numbers} By this measure training leads away from the "
            "recording."
        )
    return f"Trained networks are nearer than untrained ones: {numbers}"


def _time(controls: Mapping[str, Row]) -> str:
    kind = "shifted trials" if "shifted trials" in controls else "shuffled time"
    value, p = number(controls[kind]["value"]), f"p = {controls[kind]['p']:.2g}"
    if controls[kind]["p"] <= SIGNIFICANT:
        return f"Out of time ({kind}) the recording is {value} away ({p})."
    return (
        f"That is not measurably nearer than the recording out of time ({kind}: {value}, {p}): no sign of a likeness."
    )


def _scale(controls: Mapping[str, Row]) -> list[str]:
    parts = []
    if "between trained networks" in controls:
        parts.append(f"two trained networks are {number(controls['between trained networks']['value'])} apart")
    if "own halves" in controls:
        parts.append(f"two halves of the recording’s own units {number(controls['own halves']['value'])}")
    return [f"For scale: {', '.join(parts)}."] if parts else []


def _factors(tables: Mapping[str, pd.DataFrame], recording: str, measure: str) -> list[str]:
    effects: Any = of(tables, "effects", recording, measure).to_dict("records")
    levels = of(tables, "levels", recording, measure)
    found = []
    for effect in effects:
        if effect["p_adjusted"] <= SIGNIFICANT:
            of_factor: Any = levels[levels["factor"] == effect["factor"]].to_dict("records")
            nearest = min(of_factor, key=lambda row: row["value"])
            found.append(
                f"{level_label(effect['factor'], nearest['level'])} {with_ends(nearest)} ({effect['factor']} explains "
                f"{100 * effect['r2']:.0f}\u00a0% of the differences, p = {effect['p_adjusted']:.2g})"
            )
    if found:
        return [f"Nearest on average: {'; '.join(found)}."]
    return ["Which kind of network is nearest cannot be told."] if effects else []
