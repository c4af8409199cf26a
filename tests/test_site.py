"""The documentation site: every public name, page and link has its place. ``make docs`` builds it."""

import importlib.util
import json
import re
from pathlib import Path

import pytest

import dynatlas
from dynatlas import cells, measures, tasks

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.glob("*.md"), *DOCS.glob("api/*.md"), *DOCS.glob("notebooks/*.ipynb"), *ROOT.glob("*.md")])
TOCTREE = re.compile(r"^```\{toctree\}\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.MULTILINE | re.DOTALL)


def extension(name):
    """Import one of the site's extensions, which are no package."""
    found = importlib.util.spec_from_file_location(name, DOCS / "_extensions" / f"{name}.py")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def prose(page):
    """The Markdown of a page, or of a notebook's cells."""
    text = page.read_text(encoding="utf-8")
    if page.suffix != ".ipynb":
        return text
    cells = json.loads(text)["cells"]
    return "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


def below(page):
    """The pages that a page's tables of contents name, directly and through others."""
    for body in TOCTREE.findall(prose(page)):
        for line in body.splitlines():
            if line and not line.startswith(":"):
                name = re.sub(r".*<(.+)>", r"\1", line)
                child = (page.parent / f"{name}.md").resolve()
                if not child.exists():
                    child = child.with_suffix(".ipynb")
                yield child
                yield from below(child)


def test_the_reference_has_every_public_name():
    text = "".join(page.read_text(encoding="utf-8") for page in DOCS.glob("api/*.md"))
    documented = set(re.findall(r"^\.\. auto\w+:: dynatlas\.([\w.]+)", text, re.MULTILINE))
    assert set(dynatlas.__all__) - {"cells", "tasks"} <= documented
    for package, registry in ((tasks, tasks.TASKS), (cells, cells.CELLS), (measures, measures.MEASURES)):
        built_in = {registry[name].__name__ for name in package.BUILT_IN}
        assert {f"{package.__name__.removeprefix('dynatlas.')}.{name}" for name in built_in} <= documented


def test_every_page_is_in_a_table_of_contents_and_once():
    listed = list(below(DOCS / "index.md"))
    assert sorted(set(listed)) == sorted(listed)
    results = [*ROOT.glob("benchmarks/results/*.md"), *ROOT.glob("validation/results/*.md")]
    assert {*PAGES, *results} - {DOCS / "index.md"} == set(listed)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_relative_link_leads_to_a_file(page):
    for link in LINK.findall(CODE.sub("", prose(page))):
        assert re.match(r"https://", link) or (page.parent / link).is_file(), link


def test_the_glossary_is_in_order():
    terms = re.findall(r"^\| (?!term)([^|-][^|]*) \|", (DOCS / "glossary.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(terms) > 40
    assert [term.lower() for term in terms] == sorted({term.lower() for term in terms})


def test_docstrings_become_text_that_shows_the_same():
    readable = extension("docstrings").readable
    lines = [
        *("The number of |λ| > 1 of W*, in ``a * b``.", "", "    q = ½|x|²", "", "with x_ the state."),
        *("", "Args:", "    x: [n], a ``|", "        b`` state.", "", "Example:", "    >>> 2 * 3", "    6"),
        *("", "Source: Golub * Sussillo"),
    ]
    assert list(readable(lines)) == [
        r"The number of \|λ\| > 1 of W\*, in ``a * b``.",
        *("", ".. code-block:: text", "", "    q = ½|x|²", "", r"with x\_ the state."),
        *("", "Args:", "    x: [n], a ``|", "        b`` state.", "", "Example:", "    >>> 2 * 3", "    6"),
        *("", r"**Source:** Golub \* Sussillo"),
    ]


def test_signatures_are_those_of_the_source():
    written = extension("signatures").written
    parameters, returned = written(dynatlas.find_fixed_points)
    assert parameters.startswith("(step: Step, initial_states: ArrayLike, inputs: ArrayLike | None=None, *, box:")
    assert "max_seconds: float | None=120.0" in parameters
    assert returned == "FixedPoints"
    assert written(dynatlas.measures.CKA) == ("(debiased = False, tolerance = 1e-07)", "")
    assert written(dynatlas.Atlas.table)[0] == "(name: str)"
    assert written(tasks.FlipFlop)[0].startswith("(steps: int = 100, channels: int = 3, ")
    assert written(cells.GRU)[0].startswith("(n_inputs: int, units: int, n_outputs: int, activation: ")
    assert "delay" in written(tasks.DelayedDiscrimination)[0]  # a field of a base class


def test_the_check_of_links_finds_what_is_wrong(tmp_path, capsys):
    main = extension("check_site").main
    (tmp_path / "searchindex.js").touch()
    (tmp_path / "other.html").write_text('<h1 id="there">Title</h1>')
    (tmp_path / "index.html").write_text('<a href="other.html#there">a</a> <a href="https://example.org">b</a>')
    assert main(tmp_path) == 0
    assert capsys.readouterr().out.startswith("1 local links and files checked, 0 wrong; 1 links to elsewhere")
    (tmp_path / "index.html").write_text(
        '<a href="gone.html">a</a> <a href="other.html#gone">b</a> <script src="https://example.org/a.js"></script>'
    )
    (tmp_path / "site.css").write_text("@import url(//example.org/font.css)")
    assert main(tmp_path) == 1
    errors = capsys.readouterr().err
    assert "gone.html, which is no file" in errors
    assert "other.html#gone, which has no such anchor" in errors
    assert "loads https://example.org/a.js" in errors
    assert "site.css loads a style or font" in errors
