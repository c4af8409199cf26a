"""Single bits flipped in the files of a finished atlas: found by ``verify``, or read as before."""

import contextlib
import io
import random
import time
from pathlib import Path
from typing import Any

import numpy as np

from dynatlas.atlas.atlas import ARRAYS, PROGRESS, PROVENANCE, Atlas
from dynatlas.cli.main import main
from dynatlas.errors import DynatlasError
from dynatlas.report.provenance import command, history
from faults import runs
from faults.counts import Counts

NEWS = (PROGRESS, PROVENANCE)  # no results: they must be read or refused


def flips(work: Path, number: int, seed: int) -> list[Counts]:
    """Flip ``number`` bits, one at a time, each in a file chosen at random."""
    study, folder = work / "study.toml", work / "atlas"
    study.write_text(runs.STUDY)
    if runs.wait(runs.start(study, folder, work / "log")) != 0:
        raise SystemExit((work / "log").read_text()[-2000:])
    results, books = Counts("flipped bit in a result"), Counts("flipped bit in a book of the atlas")
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size)
    whole = {name: _content(Atlas.open(folder), name) for name in Atlas.open(folder).entries}
    rng, began = random.Random(seed), time.monotonic()  # noqa: S311
    for _ in range(number):
        path = rng.choice(files)
        name = path.relative_to(folder).as_posix()
        before = path.read_bytes()
        at, bit = rng.randrange(len(before)), rng.randrange(8)
        changed = bytearray(before)
        changed[at] ^= 1 << bit
        path.write_bytes(changed)
        outcome = _outcome(folder, name, whole)
        path.write_bytes(before)
        (results if "/" in name else books).add(outcome, f"{name}, byte {at}, bit {bit}")
    results.seconds = time.monotonic() - began
    return [results, books]


def _outcome(folder: Path, name: str, whole: dict[str, Any]) -> str:
    try:
        if name in NEWS:
            history(Atlas.open(folder).provenance)
            command(Atlas.open(folder).provenance)
        else:
            atlas = Atlas.open(folder)
            if any(problem.what != "unknown" for problem in atlas.verify()):
                return "survived"
            if any(not _equal(_content(atlas, entry), content) for entry, content in whole.items()):
                return "silent"
    except DynatlasError:
        pass
    except Exception:
        return "lost"
    return _status(folder)


def _status(folder: Path) -> str:
    """Whether ``dynatlas status`` prints, or says what is damaged."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            main(["status", str(folder)])
        except SystemExit:
            pass
        except Exception:
            return "lost"
    return "survived"


def _content(atlas: Atlas, name: str) -> Any:
    """Read an entry as users do."""
    if name.startswith(f"{ARRAYS}/"):
        return atlas.arrays(name.removeprefix(f"{ARRAYS}/"))
    if name.startswith("tables/"):
        return atlas.table(Path(name).stem)
    entry = atlas.entries[name]
    return None if entry.damage(atlas.path) else (atlas.path / name).read_bytes()


def _equal(one: Any, other: Any) -> bool:
    if hasattr(one, "identical"):
        return bool(one.identical(other))
    if hasattr(one, "equals"):
        return bool(one.equals(other))
    return bool(np.all(one == other))
