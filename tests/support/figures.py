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


TASKS = (
    {"kind": "flip_flop", "steps": 20},
    {"kind": "sine_wave", "dt": 0.04, "commands": 11},
    {"kind": "context_integration", "steps": 20},
)


@cache
def gains() -> SyntheticAtlas:
    """One architecture, three activations, and a further factor of two levels."""
    return synthetic_atlas(
        tasks=TASKS,
        population={"architectures": ["vanilla"], "activations": ["tanh", "relu", "sigmoid"], "units": [16]}
        | {"l2": [1e-5], "seeds": 4, "untrained_controls": True},
        factors={"training": {"recurrent_noise": [0.05, 0.2]}},
    )


@cache
def rates() -> SyntheticAtlas:
    """A single factor varies: a number of four levels, which networks of one block have."""
    return synthetic_atlas(
        tasks=TASKS,
        population={"architectures": ["gru"], "activations": ["tanh"], "units": [16]}
        | {"l2": [1e-5], "seeds": 4, "untrained_controls": True},
        factors={"training": {"learning_rate": [0.1, 0.001, 0.01, 0.03]}},
    )


def svg(figure: Figure) -> str:
    return figures.render(figure, "svg").decode()


def texts(figure: Figure) -> str:
    """Return all text of a figure without computing its layout."""
    return "\n".join(text.get_text() for text in figure.findobj(Text))
