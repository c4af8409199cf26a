"""The published results: the tables are whole, and the pages say what is in them."""

import importlib.util
from pathlib import Path

import pytest

from dynatlas import Atlas, Study

ROOT = Path(__file__).parents[1]
PUBLISHED = ROOT / "results" / "reproduction"
MOST_BYTES = 15_000_000


@pytest.fixture(scope="module")
def script():
    found = importlib.util.spec_from_file_location("pages", ROOT / "results" / "pages.py")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_the_published_tables_are_whole_and_of_the_built_in_study():
    atlas = Atlas.open(PUBLISHED)
    assert atlas.verify() == []
    assert atlas.study.hash == Study.load("reproduction").hash
    assert len(atlas.table("networks")) == len(atlas.study.members) >= 700
    files = [file for file in (ROOT / "results").rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < MOST_BYTES


def test_the_pages_have_the_numbers_of_the_tables(script):
    """``python results/pages.py`` writes the pages again."""
    for name, text in script.pages().items():
        assert (ROOT / "docs" / name).read_text(encoding="utf-8") == text, name


def test_the_readme_has_the_same_numbers(script):
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    results = script.Results(Atlas.open(PUBLISHED))

    found, complete = results.finding_in_percent("4", "flip_flop"), results.certified()
    count = results.trained_flip_flops() - results.off_mode_count()
    share = results.share("flip_flop", "transition_graph", "architecture")
    shares, before = results.shares_of, results.before_of
    said = [
        f"What {len(results.networks)} networks answer",
        f"In {found.split(' [')[0]} of the networks that learned it",
        f"({complete.split()[0]} of these {count} are certified complete)",
        f"explains {share.split(' [')[0]} of the variance between their transition graphs",
        f"{shares('svcca', 'architecture')} of the variance in SVCCA",
        f"{shares('dsa', 'architecture')} in DSA, {shares('spectrum', 'architecture')} in spectra",
        f"{before('svcca', 'architecture')} in SVCCA, {before('dsa', 'architecture')} in DSA",
        f"In {results.formed_by(141)} flip-flops that were followed",
    ]
    assert [sentence for sentence in said if sentence not in text] == []
