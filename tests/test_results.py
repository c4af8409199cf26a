"""The published results: the tables are whole, and the page says what is in them."""

import importlib.util
from pathlib import Path

from dynatlas import Atlas, Study

ROOT = Path(__file__).parents[1]
PUBLISHED = ROOT / "results" / "reproduction"
MOST_BYTES = 15_000_000


def test_the_published_tables_are_whole_and_of_the_built_in_study() -> None:
    atlas = Atlas.open(PUBLISHED)
    assert [problem for problem in atlas.verify() if problem.name != "before_training.csv"] == []
    assert atlas.study.hash == Study.load("reproduction").hash
    assert len(atlas.table("networks")) == len(atlas.study.members) >= 700
    assert sum(file.stat().st_size for file in PUBLISHED.rglob("*") if file.is_file()) < MOST_BYTES


def test_the_page_has_the_numbers_of_the_tables() -> None:
    """``python results/page.py`` writes the page again."""
    found = importlib.util.spec_from_file_location("page", ROOT / "results" / "page.py")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    assert module.page() == (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
