"""Files of a study: built-in studies, tables of tuned settings, and messages for validation errors.

A table of tuned settings is a CSV file with the hyperparameters that a search chose for each configuration. A row
assigns training settings to the members with its task, architecture, activation, units and, unless it is empty, l2, and
with its levels of further factors of the study, each in a column of its name. The remaining columns report the quality
of the settings and are not read.
"""

import csv
import tomllib
from collections.abc import Callable, Iterable, Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from dynatlas._io.atomic import open_regular
from dynatlas._util.messages import did_you_mean
from dynatlas.errors import StudyError
from dynatlas.study.members import FACTORS

CONFIGURATION = ("task", *FACTORS)
SETTINGS: dict[str, type[str] | type[float]] = {
    "optimizer": str,
    "learning_rate": float,
    "decay_rate": float,
    "momentum": float,
    "clip_norm": float,
}

LARGEST = 10_000_000  # bytes of a study file
SHOWN = 80  # characters of a value in a message
INFORMATIVE = ("mse", "r2", "passed", "samples", "iterations")  # columns that are not read
_OF_SAMPLES = ("sample", "diverged_at", "chosen")  # columns of the table ``samples`` that are not written


def read_overrides(name: str, folder: Path) -> list[dict[str, Any]]:
    """Read the rows of a table as the overrides of a study.

    Args:
        name: path of a file, relative to the study's folder; or name of a built-in table.
        folder: folder of the study file.

    Raises:
        StudyError: the table does not exist; a column is unknown or missing; a value is not a number.
    """
    path: Path | Traversable = folder / name
    if not path.is_file() and (_builtin() / f"{name}-tuned.csv").is_file():
        path = _builtin() / f"{name}-tuned.csv"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(
            f"cannot read the table of tuned settings {name!r}: {getattr(error, 'strerror', None) or error}. Give a "
            f"CSV file beside the study file, or one that comes with the package: {', '.join(shipped_tables())}"
        ) from None
    rows = csv.DictReader(line for line in lines if not line.startswith("#"))
    _check_columns(name, rows.fieldnames or ())
    return [_override(f"{name}, row {number}", row) for number, row in enumerate(rows, start=1)]


def as_csv(searches: Sequence[pd.DataFrame], made_by: str) -> str:
    """Format the hyperparameters that searches chose as a CSV table, one row per configuration.

    Args:
        searches: tables ``samples`` of atlases, each with an additional column ``passed``. If several searched the
            same configuration, the first that passed is used, otherwise the one with the smallest error.
        made_by: command that created the table, for the first line.
    """
    chosen = []
    further = [name for name in searches[0] if name not in {*CONFIGURATION, *SETTINGS, *INFORMATIVE, *_OF_SAMPLES}]
    configuration = [*CONFIGURATION, *further]
    for place, samples in enumerate(searches):
        counts = samples.groupby(configuration, sort=False)["sample"].transform("size")
        chosen.append(samples.assign(samples=counts, place=place)[samples.chosen])
    rows = pd.concat(chosen, ignore_index=True)
    rows["rank"] = rows.mse.where(~rows.passed, rows.place - len(searches))
    best = rows.loc[rows.groupby(configuration, sort=False)["rank"].idxmin()]
    columns = [*configuration, *SETTINGS, "iterations", "samples", "mse", "r2", "passed"]
    return f"# Made by: {made_by}\n" + best[columns].to_csv(index=False, float_format="%.6g", lineterminator="\n")


def shipped_tables() -> list[str]:
    """Return the names of the built-in tables of tuned settings."""
    return sorted(file.name.removesuffix("-tuned.csv") for file in _builtin().iterdir() if "-tuned" in file.name)


def _check_columns(name: str, columns: Iterable[str]) -> None:
    if missing := sorted({*CONFIGURATION, "learning_rate"} - set(columns)):
        raise StudyError(
            f"the table of tuned settings {name!r} lacks the columns {', '.join(missing)}; expected "
            f"{', '.join(CONFIGURATION)}, and settings among {', '.join(SETTINGS)}"
        )


def _override(where: str, row: dict[str, str]) -> dict[str, Any]:
    def number(column: str, kind: type[str] | type[float] | type[int]) -> str | float | int:
        try:
            return kind(row[column])
        except (TypeError, ValueError):
            raise StudyError(f"{where}: {column} is {row[column]!r}; expected a {kind.__name__}") from None

    factors: dict[str, Any] = {name: row[name] for name in ("task", "architecture", "activation")}
    factors["units"] = number("units", int)
    if row["l2"]:
        factors["l2"] = number("l2", float)
    if None in row:
        raise StudyError(f"{where} has more cells than the table has columns")
    known = {*CONFIGURATION, *SETTINGS, *INFORMATIVE}
    factors |= {name: _level(text) for name, text in row.items() if name not in known and text}
    return factors | {"training": {name: number(name, kind) for name, kind in SETTINGS.items() if row.get(name)}}


def _level(text: str) -> str | float | bool:
    """Return the level of a factor that a cell of the table states."""
    if text in ("True", "False"):
        return text == "True"
    try:
        return float(text)
    except ValueError:
        return text


def study_text(source: str | Path) -> str:
    """Read a study file, or a built-in study by its name.

    Raises:
        StudyError: neither exists, or the file cannot be read as text.
    """
    path = Path(source)
    if str(source) in builtin_studies() and not path.is_file():  # a folder of this name is no study file
        return builtin_study_text(str(source))
    try:
        with open_regular(path) as file:
            text = file.read(LARGEST + 1).decode()
    except (OSError, ValueError) as error:  # ValueError: not UTF-8, or a zero byte in the path
        reason = getattr(error, "strerror", None) or error
        raise StudyError(
            f"cannot read the study file {str(source)!r}: {reason}. Give the path of a TOML file, or one of "
            f"the built-in studies: {', '.join(builtin_studies())}"
        ) from None
    if len(text) > LARGEST:
        raise StudyError(f"{path} has more than {LARGEST:,} bytes; expected a study file")
    return text


def invalid_study(
    source: str, error: ValidationError, valid_keys: Callable[[Sequence[int | str]], list[str]]
) -> StudyError:
    """Return the error for a study file with invalid settings: a line for each."""
    errors = error.errors()
    # pydantic also reports a list with invalid items as too short; the errors of the items are clearer.
    inner = {item["loc"][0] for item in errors if len(item["loc"]) > 1}
    lines = [
        explain(item, valid_keys, "study")
        for item in errors
        if item["type"] != "too_short" or item["input"] in ([], ()) or item["loc"][0] not in inner
    ]
    return StudyError(f"{source} is not a valid study:\n  " + "\n  ".join(lines))


def explain(error: ErrorDetails, valid_keys: Callable[[Sequence[int | str]], list[str]], whole: str) -> str:
    """Format a pydantic validation error as a sentence: the location, the value seen, and what was expected.

    Args:
        error: an item of ``ValidationError.errors()``.
        valid_keys: location of a table → its valid keys.
        whole: name of the whole file.
    """
    location = list(error["loc"])
    where = ".".join(map(_short, location)) or whole
    if error["type"] == "extra_forbidden":
        valid = valid_keys(location[:-1])
        if len(location) > 1 and location[-1] in valid_keys([]):
            return f"{where}: unknown key; {location[-1]} belongs at the top of the file, before the first table"
        hint = did_you_mean(_short(location[-1]), valid, f"valid keys: {', '.join(sorted(valid))}")
        return f"{where}: unknown key {_short(location[-1])!r}; {hint}"
    if error["type"] == "missing":
        return f"{where}: is missing"
    message = error["msg"].removeprefix("Value error, ")
    seen = "" if isinstance(error["input"], dict | list) else f", but it is {_short(error['input'], repr)}"
    return f"{where}: {message[0].lower() + message[1:]}{seen}"


def _short(value: object, as_text: Callable[[object], str] = str) -> str:
    """Return the text of a value that a file holds, at most 80 characters of it."""
    if isinstance(value, str):
        return as_text(value) if len(value) <= SHOWN else f"{as_text(value[:SHOWN])}…"
    try:
        text = as_text(value)
    except ValueError:  # Python prints no integer of more than 4,300 digits
        return "a number of thousands of digits"
    return text if len(text) <= SHOWN + 2 else f"{text[:SHOWN]}…"


def builtin_studies() -> list[str]:
    """Return the names of the built-in studies."""
    return sorted(file.name.removesuffix(".toml") for file in _builtin().iterdir() if file.name.endswith(".toml"))


def builtin_study_text(name: str) -> str:
    """Return the text of a built-in study's commented file."""
    return (_builtin() / f"{name}.toml").read_text(encoding="utf-8")


def _builtin() -> Traversable:
    return resources.files("dynatlas.study") / "builtin"


def tables_of(text: str, source: str) -> dict[str, Any]:
    """Parse the text of a study file; ``source`` names it in errors."""
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, ValueError) as error:  # ValueError: an integer of thousands of digits
        raise StudyError(f"{source} is not valid TOML: {error}") from None
    except RecursionError:
        raise StudyError(f"{source} is not a valid study: its tables or lists are nested too deeply") from None
