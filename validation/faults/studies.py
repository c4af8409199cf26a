"""Mutated study files, up to the point at which a run would start its workers."""

import copy
import datetime
import multiprocessing
import queue
import random
import resource
import shutil
import time
import tomllib
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tomli_w

from dynatlas.atlas.atlas import Atlas
from dynatlas.errors import LONGEST, DynatlasError
from dynatlas.pipeline.jobs import jobs_of
from dynatlas.study.files import builtin_study_text
from dynatlas.study.study import Study
from faults.counts import Counts

LIMIT = 60.0  # seconds for one study on a busy machine
MEMORY = 8 << 30
BATCH = 200  # studies per process
MOST = 200_000  # networks; larger studies are valid and not laid out


def deep(depth: int, *, table: bool = False) -> Any:
    """Return a nested list, or a nested table."""
    value: Any = 1
    for _ in range(depth):
        value = {"a": value} if table else [value]
    return value


# TOML that no writer produces.
RAW = [
    *("9" * 5000, "1e999", "-1e999", "0x" + "f" * 5000, "0b" + "1" * 20_000, "nan", "-nan", "inf", "-inf", "+inf"),
    *("[" * 5000 + "]" * 5000, "[" * 400 + "]" * 400, "{a=" * 2000 + "1" + "}" * 2000, "{a=" * 300 + "1" + "}" * 300),
    *('"' + "a" * 10_000_000 + '"', "1979-05-27", "07:32:00", "1979-05-27T00:32:00.999999-07:00"),
    *('"\\u0000"', '"a\\u0000b.py"', '"\\u001b[2J"', "[" + "1," * 100_000 + "]", "[" + "{}," * 5000 + "]"),
]
POOL = [
    *(-1, 0, 1, 2, 3, 10, 2**31 - 1, 2**31, 2**32, 2**63 - 1, 0.0, -0.0, 0.1, 0.5, 1.0, 1e-320, 1e308, 1e-20),
    *(float("nan"), float("inf"), float("-inf"), True, False, [], {}, [[]], [{}], [1, "a"], ["a", "a"]),
    *("", " ", "a", "../../etc/x", "/etc/passwd", "../../../tmp/evil", "a/b", "a\nb", "\r", "\t", "{x}", "%s%n"),
    *("<script>alert(1)</script>", "=cmd|' /C calc'!A0", "{0.__class__}", "\u202e", "é" * 200, "x" * 201, ".", ".."),
    *("-", "CON", "tanh", "relu", "gru", "vanilla", "flip_flop", "svcca", "cka", "paper", "demo", "$\\frac{", "[/b]"),
    *({"a": 1}, {"kind": "flip_flop"}, {"kind": "x/../y"}, {"kind": []}, {"kind": {}}, deep(30), deep(30, table=True)),
    *(datetime.date(2020, 1, 1), datetime.datetime(2020, 1, 1), datetime.time(1, 1)),
    *([0.1, 0.2], [0.5, 0.1], [float("nan"), 1.0], [float("inf")], list(range(1, 2000)), [1e-5] * 500),
    *(["../../x.py"], ["/etc/passwd"], ["x\x00.py"], [{"file": "plugins/../../x.py", "sha256": "0"}]),
    *([{"package": "pip", "version": "1"}], [{"package": "../x", "version": "1"}]),
]
# fmt: off
KEYS = [
    "name", "description", "plugins", "tasks", "population", "training", "overrides", "search", "execution",
    "analysis", "tuned", "iterations", "steps", "units", "l2", "seeds", "kind", "measures", "measure_options",
    "decay_steps", "validation_interval", "learning_rate", "clip_norm", "block_hours", "block_memory_gb",
    "checkpoint_minutes", "fixed_point_starts", "fixed_point_noise", "slow_point_tolerance", "sensitivity_scales",
    "channels", "probe_trials", "commands", "probe_levels", "pulse_probability", "dt", "..", "a.b", "é",
    "__class__", "model_config", "facts",
]
# fmt: on


def mutant(rng: random.Random) -> bytes:
    """Return the text of a built-in study with a few changes."""
    text = builtin_study_text(rng.choice(["demo", "desk", "paper", "demo"]))
    if rng.random() < 0.2:
        return _other_bytes(bytearray(text.encode()), rng)
    data = tomllib.loads(text)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        _change(data, rng)
    try:
        text = tomli_w.dumps(data)
    except (TypeError, ValueError, RecursionError):
        return text.encode()
    return text.replace('"@RAW@"', rng.choice(RAW)).encode(errors="replace")


def _other_bytes(content: bytearray, rng: random.Random) -> bytes:
    pieces = [b"\0", b"\xff", b'"', b"[", b"[[", b"=", b"\n", b"'''", b"#", b"{", b"1", b"\xef\xbb\xbf"]
    for _ in range(rng.choice([1, 1, 2, 5, 30])):
        at, what = rng.randrange(len(content)), rng.randrange(4)
        if what == 0:
            content[at] ^= 1 << rng.randrange(8)
        elif what == 1:
            del content[at : at + rng.choice([1, 1, 3, 40])]
        elif what == 2:
            content[at:at] = rng.choice(pieces)
        else:
            content[at:at] = content[rng.randrange(len(content)) :][: rng.randrange(60)]
    return bytes(content)


def _change(data: dict[str, Any], rng: random.Random) -> None:
    places = list(_places(data))
    *before, last = rng.choice([place for place in places if place])
    at, what = _at(data, before), rng.random()
    if what < 0.6:
        at[last] = copy.deepcopy(rng.choice(POOL))
    elif what < 0.7:
        del at[last]
    elif what < 0.75 and isinstance(at, dict):
        at[rng.choice(KEYS)] = at.pop(last)
    elif what < 0.95:
        tables = [place for place in places if isinstance(_at(data, place), dict)]
        _at(data, rng.choice(tables))[rng.choice(KEYS)] = copy.deepcopy(rng.choice(POOL))
    else:
        at[last] = "@RAW@"


def _places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield place
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from _places(item, (*place, key))


def _at(value: Any, place: Any) -> Any:
    for key in place:
        value = value[key]
    return value


def attempt(content: bytes, box: Path) -> tuple[str, str]:
    """Load a study, make its atlas, read it back and lay out its jobs; return the outcome and an example."""
    shutil.rmtree(box, ignore_errors=True)  # of a process that was killed
    box.mkdir(parents=True)
    (box / "study.toml").write_bytes(content)
    try:
        study = Study.load(box / "study.toml")
        study.foreign_code()
        population = study.population
        networks = len(study.tasks) * population.seeds
        for factor in (population.architectures, population.activations, population.units, population.l2):
            networks *= len(factor)
        if networks > MOST:
            return "survived", "valid and large"
        atlas = Atlas.create(box / "atlas", study)
        again = Study.parse((atlas.path / "study.toml").read_text())
        if again != study or again.hash != study.hash or Atlas.create(box / "atlas", study).study.hash != study.hash:
            return "silent", "the stored study differs"
        jobs_of(atlas.study)
    except DynatlasError as error:
        return ("survived", "") if len(str(error)) <= LONGEST else ("lost", f"{len(str(error))} characters: {error}")
    except BaseException as error:
        ours = [frame for frame in traceback.extract_tb(error.__traceback__) if "/dynatlas/" in frame.filename]
        where = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "?"
        return "lost", f"{type(error).__name__} at {where}: {error}"
    return "survived", "valid"


def _child(seed: int, first: int, last: int, work: Path, said: Any) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    for number in range(first, last):
        content = mutant(random.Random(f"{seed}-{number}"))  # noqa: S311
        said.put((number, None, 0.0))
        begun = time.monotonic()
        outcome = attempt(content, work / f"{number}")
        said.put((number, outcome, time.monotonic() - begun))
        shutil.rmtree(work / f"{number}", ignore_errors=True)


def studies(work: Path, number: int, seed: int) -> list[Counts]:
    """Try mutated studies, in child processes, as one may hang or crash."""
    counts, began, at = Counts("mutated study"), time.monotonic(), 0
    context = multiprocessing.get_context("spawn")  # a forked child may inherit a lock that nobody opens
    while at < number:
        said, last = context.Queue(), min(at + BATCH, number)
        child = context.Process(target=_child, args=(seed, at, last, work, said))
        child.start()
        while at < last:
            try:
                at, outcome, seconds = said.get(timeout=LIMIT)
            except queue.Empty:
                counts.add("hung" if child.is_alive() else "lost", f"study {at}: exit code {child.exitcode}")
                child.kill()
                at += 1
                break
            if outcome is not None:
                counts.add(outcome[0], f"study {at}: {outcome[1]}")
                if seconds > 20:
                    print(f"study {at}: {seconds:.0f} s", flush=True)
                at += 1
        child.join(5)
        counts.seconds = time.monotonic() - began
        print(counts, flush=True)
    return [counts]
