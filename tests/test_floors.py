"""The rules of the house: imports go down, folders stay small, and what no file may contain."""

import ast
import re
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "dynatlas"
FILES = sorted(SOURCE.rglob("*.py"))
# A package imports only from floors below its own.
FLOORS = (
    {"errors", "registry", "_util"},
    {"_io", "tasks", "cells", "measures", "dynamics"},
    {"study"},
    {"training", "atlas"},
    {"statistics", "figures"},
    {"report"},
    {"pipeline", "networks", "recordings"},
    {"cli"},
    {"__main__"},
)
FLOOR = {package: number for number, packages in enumerate(FLOORS) for package in packages}
# Methods for notebooks: Task.plot, Atlas.plot, Branches.plot and FixedPoints.plot. They import when they are called.
LAZY_DOORS = {
    ("tasks/task.py", "figures"),
    ("atlas/atlas.py", "figures"),
    ("dynamics/continuation/branches.py", "figures"),
    ("dynamics/points.py", "figures"),
}
# Former names that plug-ins import. No file of the package does.
ALIASES = {"derivatives", "geometry", "neurogym", "task_checks"}
MOST_FILES = 12  # in a folder, beside __init__.py


def name_of(path):
    return path.relative_to(SOURCE).as_posix()


def imported_packages(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            parts = (node.module or "").split(".")
            if parts[0] == "dynatlas":
                yield from parts[1:2] or [alias.name for alias in node.names]
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[1] for alias in node.names if alias.name.startswith("dynatlas."))


def package_of(path):
    return name_of(path).split("/")[0].removesuffix(".py")


@pytest.mark.parametrize("path", [path for path in FILES if package_of(path) in FLOOR], ids=name_of)
def test_imports_go_down(path):
    name, own = name_of(path), package_of(path)
    for other in imported_packages(path):
        if other != own and (name, other) not in LAZY_DOORS:
            assert FLOOR[other] < FLOOR[own], f"{name} imports dynatlas.{other}"


def test_every_module_has_a_floor():
    modules = {path.stem for path in SOURCE.glob("*.py")} | {path.parent.name for path in SOURCE.glob("*/__init__.py")}
    assert modules - {"__init__"} == FLOOR.keys() | ALIASES


def test_folders_are_small():
    for folder in {path.parent for path in FILES}:
        aliases = ALIASES if folder == SOURCE else set()
        files = [path for path in folder.glob("*.py") if path.stem not in {"__init__", *aliases}]
        assert len(files) <= MOST_FILES, f"{name_of(folder)} has {len(files)} files"


def external_imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            yield (node.module or "").split(".")[0]
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)


def test_only_the_workers_know_dask():
    for path in FILES:
        if not path.is_relative_to(SOURCE / "pipeline" / "workers"):
            assert not {"dask", "distributed", "dask_jobqueue"} & set(external_imports(path)), path


def test_no_pickle_and_no_evaluation_of_text():
    for path in FILES:
        assert not {"pickle", "cloudpickle", "marshal", "shelve"} & set(external_imports(path)), path
        assert not re.search(r"allow_pickle=True|(?<![.\w])(eval|exec)\(", path.read_text()), path


BUILT_IN_TASKS = re.compile(
    "FlipFlop|SineWave|ContextIntegration|flip_flop|sine_wave|context_integration"
    "|DelayedDiscrimination|PerceptualDecision|MatchToSample|PathIntegration|MemoryAngle|DelayedCue|ContextDecision"
    "|delayed_discrimination|perceptual_decision|match_to_sample|path_integration|memory_angle|delayed_cue|context_decision"
)


def words_of_code(path):
    """Names, parts of imports, and strings split at slashes; of a docstring nothing."""
    tree = ast.parse(path.read_text())
    holders = (ast.Module, ast.ClassDef, ast.FunctionDef)
    docstrings = {
        id(node.body[0].value) for node in ast.walk(tree) if isinstance(node, holders) and is_documented(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield from node.value.split("/")
        for field in ("id", "attr", "name", "arg", "module"):
            yield from (getattr(node, field, None) or "").split(".")


def is_documented(node):
    return bool(node.body) and isinstance(node.body[0], ast.Expr) and isinstance(node.body[0].value, ast.Constant)


def test_built_in_tasks_are_known_by_what_they_say():
    for path in FILES:
        if package_of(path) != "tasks":
            named = [word for word in words_of_code(path) if BUILT_IN_TASKS.fullmatch(word)]
            assert not named, f"{name_of(path)} names {named[0]}; ask Task for what is needed of it"
    for path in (*SOURCE.rglob("*.html"), *SOURCE.rglob("*.js")):
        named = BUILT_IN_TASKS.search(path.read_text())
        assert not named, f"{name_of(path)} names {named}; ask Task for what is needed of it"


def test_nothing_names_a_registry_or_a_machine_path():
    root = SOURCE.parents[1]
    for name in ("constraints.txt", "pyproject.toml", "Makefile", ".ci/run", "README.md"):
        assert not re.search(r"file://|index-url|/root/|/work/", (root / name).read_text()), name
    pins = (root / "constraints.txt").read_text().split()
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[^=\s]+", pin) for pin in pins)
