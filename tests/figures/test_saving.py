"""Files of figures: the same bytes, whatever the user has set."""

from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import pytest

from dynatlas import figures
from dynatlas.errors import UnknownFigureError
from support.figures import TABLES, full, small, svg
from support.synthetic_atlas import synthetic_atlas


def test_text_in_an_svg_stays_text() -> None:
    pictures = figures.pictures(small())
    for picture in (pictures["effects"], pictures["fig1"], pictures["distances-flip_flop-spectrum"]):
        root = ElementTree.fromstring(svg(picture.draw()))  # noqa: S314 - our own file
        shown = {"".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text")}
        assert len(shown) > 5, f"{picture.name} has outlines instead of text"


def test_the_same_atlas_gives_the_same_svg_and_pdf() -> None:
    first, second = (figures.pictures(synthetic_atlas(tasks=[{"kind": "flip_flop"}])) for _ in range(2))
    for name in ("fig1", "trajectories-flip_flop"):
        assert svg(first[name].draw()) == svg(second[name].draw()), name
    assert b"CreationDate" not in figures.render(first["effects"].draw(), "pdf")


def test_a_users_own_matplotlib_settings_neither_matter_nor_change() -> None:
    plain = svg(figures.effects(full()))
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "lines.linewidth": 9}):
        before = dict(matplotlib.rcParams)
        assert svg(figures.effects(full())) == plain
        assert dict(matplotlib.rcParams) == before


def test_a_users_matplotlib_backend_does_not_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(matplotlib.rcParams, "backend", "svg")  # the tests' own is the one that files are drawn with
    figures.render(figures.effects(small()), "png")
    assert matplotlib.rcParams["backend"] == "svg"


def test_save_all_names_its_files() -> None:
    files = figures.save_all(small().without(*TABLES, "distances/", "trajectories/"), formats=("svg",))
    assert "performance.svg" in files
    assert all(name.endswith(".svg") and content.startswith(b"<?xml") for name, content in files.items())
    assert list(figures.save_all(small(), ("png",), ["appendix_c"])) == ["appendix-c.png"]


def test_an_atlas_draws_its_figures_by_name(tmp_path: Path) -> None:
    plot = small().store(tmp_path / "atlas").plot
    assert {"fig1", "appendix_c", "performance", "trajectories_flip_flop"} <= set(dir(plot))
    assert "fig1" in repr(plot)
    assert plot.appendix_c.caption.startswith("Error on held-out trials")
    assert svg(plot.appendix_c()) == svg(plot("appendix-c")) == svg(figures.pictures(small())["appendix-c"]())
    with pytest.raises(AttributeError, match="no figure 'preformance'; the nearest: performance"):
        plot.preformance  # noqa: B018
    with pytest.raises(UnknownFigureError, match=r"no figure 'fig7'; the nearest: fig.* There are: fig1, fig2"):
        plot("fig7")


def test_a_figure_keeps_its_style_when_it_is_saved_and_is_shown_in_notebooks(tmp_path: Path) -> None:
    figure = figures.effects(small())
    assert figure._repr_png_().startswith(b"\x89PNG")  # type: ignore[attr-defined]
    figure.savefig(tmp_path / "effects.svg")
    assert "<text" in (tmp_path / "effects.svg").read_text()


def test_png_and_pdf_are_what_they_say() -> None:
    figure = figures.effects(full())
    assert figures.render(figure, "png").startswith(b"\x89PNG")
    assert figures.render(figure, "pdf").startswith(b"%PDF")
