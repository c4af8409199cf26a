"""The code that the documentation shows runs."""

import re
from pathlib import Path

import pytest

from dynatlas.geometry import MEASURES

DOCS = Path(__file__).parents[1] / "docs"


def blocks(page):
    """The Python of a page, in order."""
    return re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)


@pytest.mark.parametrize("page", ["comparing.md"])
def test_the_code_of_a_page_runs_from_top_to_bottom(page):
    known = set(MEASURES)
    try:
        namespace = {}
        for code in blocks(page):
            exec(compile(code, page, "exec"), namespace)  # noqa: S102 - our own pages
    finally:
        for name in set(MEASURES) - known:
            del MEASURES[name]


def test_every_measure_has_its_line():
    text = (DOCS / "comparing.md").read_text()
    assert all(f"| `{name}` |" in text for name in MEASURES)
