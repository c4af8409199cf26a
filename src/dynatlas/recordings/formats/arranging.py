"""Units of a table, sorted into trials: which columns are units, and in which order its rows are.

Units are the columns that are named as units: neuron_3, unit 12, spikes_1001, 7. If there are none, they are all
columns
of numbers that are neither labels by their name nor by their values. The order is never guessed: rows with a trial, or
with a condition and a time, are sorted into [trials, time, units]; ambiguous labels are refused.
"""

from collections import Counter
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dynatlas._util.messages import count_of
from dynatlas._util.names import SAMPLES, Role, is_clock, is_mask, is_numbered, lists_units, role_of, words_of
from dynatlas.errors import NetworkError
from dynatlas.recordings.formats.series import Read
from dynatlas.recordings.formats.windows import Window

LABELS: Final = (
    "trial",
    "condition",
    "time",
    "step",
)  # a name of these means its label, whatever other columns there are
EXPECTED: Final = f"expected a column for each unit (unit_0, unit_1, …), and labels called {', '.join(LABELS)}"
ROWS: Final = SAMPLES | {"index", "idx", "order"}
FEWEST_OTHERS: Final = 3  # columns, to which one is compared
FEWEST_ROWS: Final = 10  # from which a column that grows with every row is taken for a clock


class Columns(NamedTuple):
    """Columns of a table by what they hold; an index counts as columns."""

    units: list[str]
    labels: dict[Role, list[str]]
    left_out: list[str]


def arranged(path: Path | str, frame: pd.DataFrame, window: Window | None = None) -> Read:
    """Return a table's units, sorted by trial or condition and by time if it has these labels.

    Args:
        path: the file or the name of the recording, for errors.
        frame: a row for each sample; labels are columns.
        window: the part of each trial that is read; by default all.

    Raises:
        NetworkError: columns that are neither units nor labels, ambiguous labels, or trials of different lengths.
    """
    frame = frame.set_axis([str(name) for name in frame.columns], axis=1).reset_index(drop=True)
    columns = classified(path, frame)
    facts = [_said("columns as units", columns.units)]
    if columns.left_out:
        facts.append(_said("columns not taken as units", columns.left_out))
    _refuse_sessions(path, frame, columns.labels)
    _refuse_masks(path, frame, columns.left_out)
    if not columns.labels.keys() & {"trial", "time", "condition"}:
        _refuse_other_index(path, frame, columns.left_out)
    keys = _keys(path, frame, columns.labels, window)
    _refuse_hidden_labels(path, frame, columns, keys)
    values: NDArray[np.float64] = frame[columns.units].to_numpy(np.float64, na_value=np.nan)
    if not len(keys.columns):
        return values, tuple(facts)
    order = keys.sort_values(list(keys.columns), kind="stable").index
    keys, values = keys.loc[order], values[order]
    outer = keys.columns[0] if keys.columns[0] in ("trial", "condition") else None
    _refuse_repeats(path, keys, outer)
    _refuse_other_order(path, frame.loc[order], keys, columns.labels, outer)
    said = [name if name in LABELS else f"time ({name})" for name in keys.columns]
    named = frame[columns.labels["trial"][0]] if outer == "trial" else None
    first = ", trials in order of first appearance" if named is not None and not _is_ordered(named) else ""
    facts.append(f"rows in the order of {' and '.join(said)}{first}")
    if window is not None:
        facts.append(f"times {_span(window)}")
    if outer == "trial" or (outer and len(keys.columns) > 1):
        lengths = keys[outer].value_counts().unique()
        if len(lengths) != 1:
            raise NetworkError(
                f"{path}: its {outer}s have {min(lengths, default=0)} to {max(lengths, default=0)} rows; expected "
                f"equal lengths, as in a probe: cut the {outer}s to one window (--window 0:0.6, --align EVENT), or "
                "resample them to one length"
            )
        values = values.reshape(-1, int(lengths[0]), values.shape[1])
    return values, tuple(facts)


def classified(path: Path | str, frame: pd.DataFrame) -> Columns:
    """Sort the columns into units, labels that order the rows, and others.

    Raises:
        NetworkError: no units, or columns of which none is known to be a unit.
    """
    names = list(frame.columns)
    labels: dict[Role, list[str]] = {}
    for name in names:
        role = role_of(name)
        if role in ("trial", "condition", "time", "session"):
            labels.setdefault(role, []).append(name)
    known = Counter(plain for name in names if (plain := name.strip().lower()) in LABELS)
    if twice := [name for name, count in known.items() if count > 1]:
        raise NetworkError(f"{path} has {known[twice[0]]} columns called {twice[0]!r}; expected unique names")
    for found in labels.values():  # a plain name first, then times in the trial, then clocks
        found.sort(key=lambda name: (name.strip().lower() not in LABELS, is_clock(name)))
    numeric = {
        name
        for name, kind in frame.dtypes.items()
        if pd.api.types.is_numeric_dtype(kind) and not pd.api.types.is_complex_dtype(kind)
    }
    units = [name for name in names if is_numbered(name)]
    unknown = [name for name in names if not is_numbered(name) and not role_of(name)]
    others = [name for name in names if not is_numbered(name) and role_of(name) in ("label", "unit")]
    if not units:
        if listing := [name for name in names if lists_units(name)]:
            raise NetworkError(
                f"{path} is a long table: {listing[0]!r} names the unit of each row; expected a column for each unit: "
                f"frame.pivot(index=['trial', 'time'], columns={listing[0]!r}) makes one"
            )
        units = [*unknown, *(name for name in others if role_of(name) == "unit")]
        chosen = set(units)
        units = [name for name in names if name in chosen]
        _refuse_mixed(path, units)
        others = [name for name in others if role_of(name) == "label"]
        unknown = []
    odd = [name for name in units if name not in numeric]
    if odd or not units:
        seen = f"columns that are not numeric: {', '.join(odd[:5])}" if odd else "no column of numbers"
        raise NetworkError(f"{path} has {seen[:200]}; {EXPECTED}")
    left = {*unknown, *others, *labels.get("session", ())}
    return Columns(units, labels, [name for name in names if name in left])


def _refuse_mixed(path: Path | str, units: list[str]) -> None:
    """Check that all or no unknown names have a number: a name that does not fit may be a label."""
    numbered = [name for name in units if any(letter.isdigit() for letter in name)]
    odd = [name for name in units if not any(letter.isdigit() for letter in name)]
    if numbered and odd:
        raise NetworkError(
            f"{path}: the column {odd[0]!r} is no label that is known, and not numbered as {numbered[0]!r} is; drop it "
            "if it is no unit, or name the units unit_0, unit_1, …"
        )


def _refuse_sessions(path: Path | str, frame: pd.DataFrame, labels: dict[Role, list[str]]) -> None:
    """Check that a trial is of one session: numbers that restart in each would join trials that are different."""
    trial = labels.get("trial", [])[:1]
    for name in labels.get("session", ()):
        of_trial = frame[[name, *trial]].drop_duplicates()
        if len(of_trial) > (of_trial[trial[0]].nunique(dropna=False) if trial else 1):
            raise NetworkError(
                f"{path} has {frame[name].nunique(dropna=False)} different values of {name}, and "
                f"{'trials with the same number in several' if trial else 'no trials'}; expected one session: save a "
                "file for each, or number the trials consecutively"
            )


def _refuse_masks(path: Path | str, frame: pd.DataFrame, labels: list[str]) -> None:
    """Check that no label says that only some rows count."""
    for name in labels:
        values = pd.unique(frame[name])
        if is_mask(name) and len(values) == 2 and set(values) <= {0, 1}:
            raise NetworkError(
                f"{path}: the column {name!r} is 1 in {int(frame[name].sum())} of {len(frame)} rows, and seems to say "
                "which of them count; leave out the others, and drop the column"
            )


def _refuse_other_index(path: Path | str, frame: pd.DataFrame, labels: list[str]) -> None:
    """Check that no label numbers the rows in another order, as an index of shuffled rows does."""
    for name in labels:
        if not set(words_of(name)) & ROWS or not pd.api.types.is_integer_dtype(frame[name]):
            continue
        numbers = frame[name].to_numpy()
        first = numbers.min(initial=numbers[0]) if len(numbers) else 0
        if np.array_equal(np.sort(numbers), first + np.arange(len(numbers))) and (np.diff(numbers) != 1).any():
            raise NetworkError(
                f"{path}: the column {name!r} numbers the rows in another order; sort them by it, or drop it"
            )


def _refuse_hidden_labels(path: Path | str, frame: pd.DataFrame, columns: Columns, keys: pd.DataFrame) -> None:
    """Check that no column with an unknown name has the values of a label: of a trial, of time, or of a clock."""
    names = [name for name in columns.units if not is_numbered(name)]
    values: NDArray[np.float64] = frame[names].to_numpy(np.float64, na_value=np.nan)
    seen: dict[str, NDArray[np.bool_]] = {}
    if len(values) > FEWEST_ROWS and len(names) > FEWEST_OTHERS:
        is_count = ((values == np.floor(values)) & (values >= 0)).all(axis=0)
        is_binary = np.isin(values, (0, 1)).all(axis=0)
        for what, odd in (("has fractions or negative numbers", ~is_count), ("has only zeros and ones", is_binary)):
            seen[f"{what}, unlike all the others"] = odd & (odd.sum() == 1)
    if len(values) > FEWEST_ROWS:
        changes = np.diff(values, axis=0)
        one_way = (changes > 0).all(axis=0) | (changes < 0).all(axis=0)
        seen["changes in one direction over all rows, like a clock"] = np.asarray(one_way)
    if "trial" in keys and names:
        order = frame.index.get_indexer(keys.sort_values(list(keys.columns), kind="stable").index)
        of_trial = pd.factorize(keys["trial"].sort_values(kind="stable"))[0]
        begins = np.flatnonzero(np.diff(of_trial, prepend=-1))
        lengths = np.diff(begins, append=len(of_trial))
        low, high = (extreme.reduceat(values[order], begins, axis=0) for extreme in (np.minimum, np.maximum))
        constant = (low == high).all(axis=0) & (low != low[:1]).any(axis=0)
        if len(begins) > 1 and (lengths > 1).all():
            seen["has one value in each trial, like a label of trials"] = np.asarray(constant)
        if len(begins) > 1 and (lengths == lengths[0]).all() and lengths[0] >= FEWEST_ROWS // 2:
            course = values[order].reshape(len(begins), int(lengths[0]), -1)
            same = (course == course[:1]).all(axis=(0, 1)) & (course != course[:1, :1]).any(axis=(0, 1))
            seen["has the same course in each trial, like a time or a cue"] = same & (not same.all())
    for what, found in seen.items():
        if found.any():
            raise NetworkError(
                f"{path}: the column {names[int(found.argmax())]!r} {what}; drop it, or call it trial, condition or "
                "time if it is one; if it is a unit, name the units unit_0, unit_1, …"
            )


def _keys(path: Path | str, frame: pd.DataFrame, labels: dict[Role, list[str]], window: Window | None) -> pd.DataFrame:
    """Return the keys by which rows are sorted, each a column: trial or condition, then time; rows of the window."""
    keys: dict[str, pd.Series] = {}
    for role in ("trial", "condition"):
        names = labels.get(role, [])
        if names and not keys:
            keys[role] = _key(path, role, frame[names[0]])
            codes = pd.factorize(frame[names[0]])[0]
            for other in names[1:]:
                if not np.array_equal(codes, pd.factorize(frame[other])[0]):
                    raise NetworkError(f"{path} has two different {role}s, {names[0]} and {other}; drop one of them")
    times = labels.get("time", [])
    if times:
        plain = times[0].strip().lower()
        keys[plain if plain in LABELS else times[0]] = _key(path, "time", frame[times[0]])
    if window is None:
        return pd.DataFrame(keys, frame.index)
    if not times or "trial" not in keys:
        raise NetworkError(
            f"{path} has no columns trial and time, which a window needs; it has {_listed(frame.columns)}"
        )
    time = list(keys.values())[-1].astype(np.float64)
    since = time - (_events(path, frame, window.event) if window.event else 0.0)
    kept = (since >= window.begin - 1e-9) & (since < window.end - 1e-9)
    lost = set(keys["trial"]) - set(keys["trial"][kept])
    if lost:
        raise NetworkError(
            f"{path}: {count_of(len(lost), 'trial')} of {keys['trial'].nunique()} "
            f"{'has' if len(lost) == 1 else 'have'} no "
            f"times {_span(window)}, such as trial {next(iter(lost))}; choose a window that all have"
        )
    return pd.DataFrame(keys, frame.index)[kept]


def _span(window: Window) -> str:
    return window.said if window.event else f"from {window.begin:g} to {window.end:g}"


def _events(path: Path | str, frame: pd.DataFrame, event: str) -> pd.Series:
    if event not in frame.columns or not pd.api.types.is_numeric_dtype(frame[event]):
        raise NetworkError(f"{path} has no column of numbers called {event!r}; it has {_listed(frame.columns)}")
    if missing := int(frame[event].isna().sum()):
        raise NetworkError(f"{path}: {event} is empty in {missing} rows; leave out the trials without this event")
    return frame[event].astype(np.float64)


def _is_ordered(label: pd.Series) -> bool:
    return any(
        is_kind(label.dtype)
        for is_kind in (
            pd.api.types.is_numeric_dtype,
            pd.api.types.is_datetime64_any_dtype,
            pd.api.types.is_timedelta64_dtype,
        )
    )


def _key(path: Path | str, role: str, label: pd.Series) -> pd.Series:
    """Return the sort key of a label: its numbers, or for named trials their order of first appearance."""
    if label.isna().any():
        raise NetworkError(
            f"{path}: {label.name} is empty in {int(label.isna().sum())} rows; expected one in every row"
        )
    if _is_ordered(label):
        return label
    if role == "trial":
        numbers = pd.factorize(label)[0]
        if (np.diff(numbers) != 0).sum() >= len(np.unique(numbers)):
            raise NetworkError(
                f"{path}: {label.name} is text, such as {str(label.iloc[0])[:40]!r}, and the rows of trials are mixed, "
                "so that the order of trials is unknown; number the trials, or sort the rows by trial"
            )
        return pd.Series(numbers, label.index)
    expected = "their numbers in the probe's condition, from 0" if role == "condition" else "numbers"
    raise NetworkError(
        f"{path}: {label.name} is text, such as {str(label.iloc[0])[:40]!r}, whose order is unknown; expected "
        f"{expected}"
    )


def _refuse_repeats(path: Path | str, keys: pd.DataFrame, outer: str | None) -> None:
    """Check that no two rows have the same labels, except rows of a trial without times, ordered as in the file."""
    if list(keys.columns) == ["trial"] or not keys.duplicated().any():
        return
    first = keys[keys.duplicated()].iloc[0]
    seen = " and ".join(f"{name} {value}" for name, value in first.items())
    hint = {
        None: "name the trial column 'trial'",
        "condition": "expected one row for each: average over its trials, or name the trial column 'trial'",
        "trial": "expected one row for each: number the trials consecutively",
    }[outer]
    raise NetworkError(f"{path} has several rows of {seen}; {hint}")


def _refuse_other_order(
    path: Path | str, frame: pd.DataFrame, keys: pd.DataFrame, labels: dict[Role, list[str]], outer: str | None
) -> None:
    """Check that the other columns of times grow as the one by which rows are sorted."""
    for other in labels.get("time", [])[1:]:
        key = _key(path, "time", frame[other])
        within = (
            key.groupby(keys[outer], sort=False).is_monotonic_increasing.all() if outer else key.is_monotonic_increasing
        )
        if not within:
            raise NetworkError(
                f"{path}: the times {labels['time'][0]} and {other} order the rows differently; drop one of them"
            )


def _said(what: str, names: list[str]) -> str:
    return f"{what}: {len(names)} ({_listed(names)})"


def _listed(names: object) -> str:
    texts = [str(name)[:40] for name in names]  # type: ignore[attr-defined]
    return ", ".join(texts if len(texts) <= 4 else [*texts[:2], "…", texts[-1]])
