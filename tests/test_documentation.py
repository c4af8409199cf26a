"""Pages of the documentation do what they say: their Python is run in order, their commands are carried out.

Blocks marked ``notest`` need what is no dependency, or repeat what another one does at the cost of seconds. A ``text``
block stands for what the block above it prints, where … stands for anything. A block that begins with a file's name in
a comment is that file.
"""

import inspect
import re

import matplotlib.pyplot as plt
import pytest

from dynatlas import Atlas, Study, find_fixed_points
from dynatlas.cells.activations import ACTIVATIONS, BUILT_IN_ACTIVATIONS
from dynatlas.cells.ctrnn import CTRNN
from dynatlas.cells.registry import BUILT_IN as BUILT_IN_CELLS
from dynatlas.dynamics.continuation.events import KINDS
from dynatlas.figures.catalogue import pictures
from dynatlas.measures import DSA
from dynatlas.measures.registry import MEASURES
from dynatlas.study.files import builtin_studies
from dynatlas.tasks import BUILT_IN
from support.documentation import DOCS, carry_out
from support.random_atlas import random_atlas
from support.synthetic_atlas import synthetic_atlas


@pytest.mark.usefixtures("quick_compilation")
def test_my_pytorch_network(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = carry_out(DOCS / "my-pytorch-network.md")
    assert namespace["mine"].is_slow
    assert (tmp_path / "two-conditions" / "index.html").exists()
    assert len((tmp_path / "two-conditions" / "searches.csv").read_text().splitlines()) == 3


@pytest.mark.usefixtures("quick_compilation")
def test_my_recordings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    random_atlas(tmp_path / "my-atlas")
    namespace = carry_out(DOCS / "my-recordings.md")
    assert (tmp_path / "monkey-flip_flop-placement" / "index.html").exists()
    controls = set(namespace["placement"].tables["controls"]["control"])
    text = (DOCS / "my-recordings.md").read_text(encoding="utf-8")
    assert all(f"| `{name}` |" in text for name in controls)


def test_figures(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    synthetic_atlas(tasks=[{"kind": "flip_flop", "steps": 20}]).store(tmp_path / "my-atlas")
    namespace = carry_out(DOCS / "figures.md")
    text = (DOCS / "figures.md").read_text(encoding="utf-8")
    for name in pictures(namespace["atlas"]):
        assert f"`{re.split('-flip_flop', name)[0]}" in text, name
    assert (tmp_path / "map.svg").exists()


@pytest.mark.usefixtures("quick_compilation")
def test_cells():
    built_in = list(BUILT_IN_ACTIVATIONS)
    try:
        carry_out(DOCS / "cells.md")
    finally:
        ACTIVATIONS.pop("softsign", None)
    text = (DOCS / "cells.md").read_text(encoding="utf-8")
    assert all(f"\n| `{name}` |" in text for name in (*BUILT_IN_CELLS, *built_in))
    settings = inspect.signature(CTRNN).parameters.values()
    named = [each.name for each in settings if each.kind is each.KEYWORD_ONLY and each.name != "key"]
    assert all(f"`{name}`" in text for name in named)


@pytest.mark.usefixtures("quick_compilation")
def test_fixed_points():
    carry_out(DOCS / "fixed-points.md")


@pytest.mark.usefixtures("quick_compilation")
def test_continuation(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = carry_out(DOCS / "continuation.md")
    text = (DOCS / "continuation.md").read_text(encoding="utf-8")
    assert all(f"`{kind}`" in text for kind in KINDS)
    assert namespace["branches"].plot().axes
    assert (tmp_path / "pair-along-input-0-from-0-to-1" / "index.html").exists()


@pytest.mark.usefixtures("quick_compilation")
def test_dynamics():
    namespace = carry_out(DOCS / "dynamics.md")
    assert len(namespace["lesions"].fixed_points) == 4


def test_comparing_networks():
    known = set(MEASURES)
    try:
        carry_out(DOCS / "comparing.md")
    finally:
        for name in set(MEASURES) - known:
            del MEASURES[name]
    text = (DOCS / "comparing.md").read_text(encoding="utf-8")
    assert all(f"| `{name}` |" in text for name in known)


@pytest.mark.usefixtures("quick_compilation")
def test_tasks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    carry_out(DOCS / "tasks.md")
    text = (DOCS / "tasks.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE) == list(BUILT_IN)


def test_study_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    carry_out(DOCS / "study-file.md")


def test_other_papers():
    text = " ".join((DOCS / "other-papers.md").read_text(encoding="utf-8").split())
    papers = [name for name in builtin_studies() if name not in ("demo", "learning", "reproduction", "desk", "paper")]
    assert all(f"`{name}`: {len(Study.load(name).members)} " in text for name in papers)


@pytest.mark.usefixtures("quick_compilation", "processes", "forgotten")
def test_my_task(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = carry_out(DOCS / "my-task.md")
    assert (tmp_path / "my-atlas" / "plugins" / "my_task.py").read_bytes() == (tmp_path / "my_task.py").read_bytes()
    assert namespace["study"].analysis.measures == ("svcca", "participation")


@pytest.mark.usefixtures("quick_compilation")
def test_gallery(tmp_path, monkeypatch):
    """Its code draws the figures that it shows; of atlases that are not published it draws them without results."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").symlink_to(DOCS.parent / "results")
    for name in ("learning", "tolmachev-engel"):
        Atlas.create(tmp_path / "atlases" / name, Study.load(name))
    try:
        carry_out(DOCS / "gallery.md")
    finally:
        plt.close("all")
    text = (DOCS / "gallery.md").read_text(encoding="utf-8")
    saved = re.findall(r'savefig\("(.+?)"', text)
    assert len(saved) == 3
    for name in saved:
        assert f"(images/{name})" in text
        assert plt.imread(tmp_path / name).shape == plt.imread(DOCS / "images" / name).shape
    assert all((DOCS / name).is_file() for name in re.findall(r"\(((?:images|\.\./results)/.+?)\)", text))


@pytest.mark.usefixtures("quick_compilation")
def test_coming_from():
    carry_out(DOCS / "coming-from.md")
    text = (DOCS / "coming-from.md").read_text(encoding="utf-8")
    defaults = {name: each.default for name, each in inspect.signature(find_fixed_points).parameters.items()}
    assert "`tol`: largest q of a root | 1e-20 |" in text
    assert "`slow_tol`: largest q of a slow point, marked `is_slow` | 1e-8 |" in text
    assert "`max_starts`, `max_seconds` of the whole search | 16,384, 120 s |" in text
    assert [defaults[name] for name in ("tol", "slow_tol", "max_starts", "max_seconds")] == [1e-20, 1e-8, 16_384, 120]
    measure = DSA()
    assert (measure.n_delays, measure.delay_interval, measure.rank, measure.lamb) == (1, 1, None, 1e-8)
    assert (measure.reduced_rank_reg, measure.score_method, measure.starts) == (False, "wasserstein", None)
