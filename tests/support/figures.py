"""Synthetic atlases for figures, and the text of a figure."""

from functools import cache

from matplotlib.figure import Figure
from matplotlib.text import Text

from dynatlas import figures
from dynatlas.study.study import Study
from support.synthetic_atlas import SyntheticAtlas, synthetic_atlas

TABLES = (
    *("networks", "losses", "searches", "fixed_points", "embeddings", "maps", "effects", "headline"),
    *("controls", "control_embeddings", "transitions"),
)

PAPER = {"fig1": "abcdef", "fig2": "abcdef", "fig3": "abcdef", "fig4": "abc", "appendix-c": "", "appendix-e": "abc"}


@cache
def full() -> SyntheticAtlas:
    return synthetic_atlas()


@cache
def small() -> SyntheticAtlas:
    return synthetic_atlas(tasks=[{"kind": "flip_flop", "steps": 20}])


@cache
def tiny() -> SyntheticAtlas:
    population = Study.load("demo").population.model_dump() | {"architectures": ["vanilla", "gru"], "seeds": 2}
    return synthetic_atlas(tasks=[{"kind": "flip_flop", "steps": 20}], population=population)


def svg(figure: Figure) -> str:
    return figures.render(figure, "svg").decode()


def texts(figure: Figure) -> str:
    """Return all text of a figure without computing its layout."""
    return "\n".join(text.get_text() for text in figure.findobj(Text))
