"""The rules that keep the house in order: who may import whom, and what no file may contain."""

import ast
import re
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "dynatlas"

# Each module and the modules of ours it may import; a private module belongs to the one named before it.
MAY_IMPORT = {
    "errors": set(),
    "cards": set(),
    "origins": set(),
    "tasks": {"wording", "origins", "errors", "figures"},  # Task.plot draws
    "cells": {"origins"},
    "derivatives": {"cells"},
    "backpropagation": {"cells", "derivatives"},
    "wording": set(),
    "task_checks": {"wording", "tasks"},
    "cell_checks": {"wording", "backpropagation", "cells", "derivatives"},
    "plugins": {"cells", "errors", "geometry", "origins", "tasks"},
    "neurogym": {"errors", "tasks"},
    "costs": {"cells"},
    "settings": {"wording", "geometry"},
    "members": {"settings"},
    "foreign": {"cells", "origins", "settings", "tasks"},
    "tuned": {"errors"},
    "study": {
        *("cards", "cells", "tasks", "errors", "costs", "settings", "tuned"),
        *("members", "origins", "plugins", "foreign", "task_checks", "cell_checks", "geometry", "wording"),
    },
    "training": {"members", "backpropagation", "cells", "tasks", "settings", "study"},
    "search": {"members", "cells", "settings", "study", "tasks", "training"},
    "autotuning": {"members", "cells", "study", "tasks", "training"},
    "interruption": set(),
    "batches": set(),
    "slopes": set(),
    "enclosures": {"slopes"},
    "reach": {"enclosures"},
    "separate_columns": {"reach"},
    "root_search": {"separate_columns"},
    "certificates": {"batches", "enclosures", "root_search", "slopes"},
    "linearization": {"cards", "batches", "root_search"},
    "fixed_points": {"cards", "_collection", "batches", "certificates", "root_search"},
    "_collection": {"batches", "linearization", "root_search"},
    "point_facts": {"fixed_points", "linearization"},
    "line_attractors": {"cards", "root_search"},
    "cycles": {"linearization", "root_search"},
    "topology": {"batches", "fixed_points", "root_search"},
    "pairs": set(),
    "spectra": {"pairs"},
    "resampling": {"embedding"},
    "effects": {"embedding", "resampling", "statistics"},
    "graph_distances": {"pairs"},
    "geometry": {"wording", "origins", "pairs"},
    "networks": {"cards", "_atomic", "cells", "errors", "root_search"},
    "analysis": {
        *("cards", "networks", "fixed_points", "point_facts", "certificates", "linearization", "cycles", "batches"),
        *("figures", "report", "_atomic", "errors"),
    },
    "tabular": {"_atomic", "errors"},
    "recordings": {"wording", "_atomic", "cards", "errors", "networks", "tasks"},
    "placement": {
        "schema",
        "members",
        *(
            "recordings",
            "cells",
            "effects",
            "embedding",
            "errors",
            "figures",
            "geometry",
            "pairs",
            "report",
            "resampling",
        ),
        *("stages", "store", "study", "_atomic"),
    },
    "recording_commands": {"figures", "errors", "placement", "plugins", "recordings", "store"},
    "figure_commands": {"figures", "report", "jobs", "store", "_atomic", "errors"},
    "network_commands": {"analysis", "networks", "plugins", "store", "tabular", "errors"},
    "embedding": set(),
    "statistics": {"embedding"},
    "claims": {"schema", "resampling", "study"},
    "schema": set(),
    "store": {
        "members",
        *("cards", "study", "cells", "errors", "pairs", "schema"),
        "figures",  # Atlas.plot draws
        *("_atomic", "_checkpoints", "_creation", "_formats", "_lock", "_manifest", "_overview", "_verification"),
    },
    "_atomic": set(),
    "_journal": {"_atomic"},
    "_checkpoints": {"_atomic"},
    "_lock": {"errors"},
    "_manifest": {"_atomic", "_journal", "_lock", "errors"},
    "_formats": {"members", "schema", "study"},
    "_overview": {"schema", "cards", "errors", "study"},
    "_verification": {"_atomic", "_manifest", "_formats"},
    "_creation": {"_atomic", "_lock", "_manifest", "study", "errors"},
    "figures": {"cards", "study", "tasks", "store", "errors", "schema"},
    "report": {"members", "cards", "figures", "settings", "study", "tasks", "store", "errors", "schema"},
    "stages": {
        "members",
        *("cells", "tasks", "study", "store", "training", "geometry", "pairs", "embedding", "effects", "resampling"),
        "statistics",
        *(
            "batches",
            "fixed_points",
            "point_facts",
            "certificates",
            "linearization",
            "line_attractors",
            "cycles",
            "topology",
            "graph_distances",
            "spectra",
        ),
        *("claims", "figures", "report", "schema"),
        *("search", "autotuning", "interruption", "errors", "progress", "settings"),
    },
    "progress": set(),
    "status": {"progress", "store", "errors"},
    "slurm": {"errors", "settings"},
    "cluster": {"_worker", "interruption", "plugins", "slurm", "errors"},
    "_worker": {"interruption", "plugins", "errors"},
    "jobs": {"members", "schema", "stages", "store", "study"},
    "_waiting": {"jobs"},
    "pipeline": {
        *("_waiting", "foreign", "jobs", "pairs", "plugins", "store", "study", "progress", "errors"),
        *("cluster", "slurm", "interruption", "status"),
    },
    "calibration": {"members", "geometry", "pairs", "plugins", "stages", "study", "training"},
    "planning": {"members", "calibration", "cluster", "jobs", "pairs", "stages", "study"},
    "__main__": {"cli"},
    "summary": {"schema", "store"},
    "cli": {
        *("jobs", "pipeline", "planning", "tuned", "cluster", "slurm", "progress", "status", "store", "study"),
        *("summary", "figure_commands", "network_commands", "recording_commands", "errors"),
    },
}


def files_of(module):
    folder = SOURCE / module
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [SOURCE / f"{module}.py"]


def imported_modules(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("dynatlas"):
            parts = node.module.split(".")
            yield from [parts[1]] if len(parts) > 1 else [alias.name for alias in node.names]
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[1] for alias in node.names if alias.name.startswith("dynatlas."))


def external_imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            yield (node.module or "").split(".")[0]
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)


def test_every_module_has_its_rule():
    modules = {path.stem for path in SOURCE.glob("*.py")} | {path.parent.name for path in SOURCE.glob("*/*.py")}
    assert modules - {"__init__", "__pycache__"} == MAY_IMPORT.keys()


@pytest.mark.parametrize("module", sorted(MAY_IMPORT))
def test_imports_go_one_way(module):
    seen = {name for path in files_of(module) for name in imported_modules(path)} - {module}
    assert seen <= MAY_IMPORT[module], f"{module} imports {sorted(seen - MAY_IMPORT[module])}"


def test_only_the_cluster_knows_dask():
    for module in MAY_IMPORT.keys() - {"cluster", "_worker"}:
        for path in files_of(module):
            assert not {"dask", "distributed", "dask_jobqueue"} & set(external_imports(path)), path


def test_no_pickle_and_no_evaluation_of_text():
    for path in SOURCE.rglob("*.py"):
        assert not {"pickle", "cloudpickle", "marshal", "shelve"} & set(external_imports(path)), path
        assert not re.search(r"allow_pickle=True|(?<![.\w])(eval|exec)\(", path.read_text()), path


def test_nothing_names_a_registry_or_a_machine_path():
    root = SOURCE.parents[1]
    for name in ("constraints.txt", "pyproject.toml", "Makefile", ".ci/run", "README.md"):
        assert not re.search(r"file://|index-url|/root/|/work/", (root / name).read_text()), name
    pins = (root / "constraints.txt").read_text().split()
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[^=\s]+", pin) for pin in pins)
