"""Every figure of an atlas, by name, and as files."""

import difflib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Literal, NamedTuple, get_args

from matplotlib.figure import Figure

from dynatlas.atlas.view import AtlasLike, Missing, Snapshot, measures, tasks, tasks_with
from dynatlas.errors import UnknownFigureError
from dynatlas.figures import paper
from dynatlas.figures.counts import fixed_point_counts, fixed_point_counts_caption
from dynatlas.figures.distances import (
    distance_map,
    distance_map_caption,
    effects,
    effects_caption,
    shepard,
    shepard_caption,
)
from dynatlas.figures.line_attractors import line_attractors, line_attractors_caption
from dynatlas.figures.oscillations import oscillation_frequencies, oscillation_frequencies_caption
from dynatlas.figures.paper.errors import errors_caption
from dynatlas.figures.paper.integration import integration_caption
from dynatlas.figures.paper.measures import COMPARED, measures_caption
from dynatlas.figures.paper.memory import memory_caption
from dynatlas.figures.paper.oscillation import oscillation_caption
from dynatlas.figures.paper.untrained import untrained_caption
from dynatlas.figures.performance import loss_curves, loss_curves_caption, performance, performance_caption
from dynatlas.figures.state_spaces import trajectories, trajectories_caption
from dynatlas.figures.style import render
from dynatlas.figures.transition_graphs import transition_graphs, transition_graphs_caption
from dynatlas.figures.trial import stored_trial, stored_trial_caption
from dynatlas.measures import aspects
from dynatlas.study.study import Study
from dynatlas.tasks.task import Computation

Format = Literal["svg", "pdf", "png"]
FORMATS: tuple[Format, ...] = ("svg", "pdf", "png")


class Picture(NamedTuple):
    """A figure that can be drawn, by calling this, and its caption."""

    name: str
    draw: Callable[[], Figure]
    describe: Callable[[], str]

    def __call__(self) -> Figure:
        """Draw it."""
        return self.draw()

    @property
    def caption(self) -> str:
        """What a reader sees, or what is missing."""
        try:
            return self.describe()
        except Missing as missing:
            return str(missing).replace("\n", " ")


class Dynamics(NamedTuple):
    """A figure of what the fixed points of a task form."""

    name: str
    heading: str
    draw: Callable[[AtlasLike, str], Figure]
    describe: Callable[[AtlasLike, str], str]


TRANSITIONS = Dynamics("transition-graphs", "Where the flow leads", transition_graphs, transition_graphs_caption)

FREQUENCIES = Dynamics(
    "oscillation-frequencies", "Frequencies", oscillation_frequencies, oscillation_frequencies_caption
)

LINES = Dynamics("line-attractors", "Lines that hold the sum", line_attractors, line_attractors_caption)


def dynamics_of(study: Study, kind: str) -> list[Dynamics]:
    """The figures of what a task's fixed points form; the second task of one figure has its kind in the name."""
    graphs = [task.kind for task in study.tasks if not aspects.comparing(aspects.TRANSITIONS).isdisjoint(task.topology)]
    belongs = {
        TRANSITIONS: graphs,
        FREQUENCIES: tasks_with(study, "oscillation")[:1],  # the table of frequencies is of one task
        LINES: tasks_with(study, "integration"),
    }
    return [
        dynamics if kind == kinds[0] else dynamics._replace(name=f"{dynamics.name}-{kind}")
        for dynamics, kinds in belongs.items()
        if kind in kinds
    ]


def pictures(atlas: AtlasLike) -> dict[str, Picture]:
    """Every figure of an atlas by its name, such as ``performance`` or ``distances-flip_flop-spectrum``."""
    return {picture.name: picture for picture in _pictures(Snapshot(atlas))}


# The figures of the paper: what draws them, and what describes them.
PAPER: dict[str, tuple[Callable[..., Figure], Callable[..., str]]] = {
    "fig1": (paper.memory, memory_caption),
    "fig2": (paper.oscillation, oscillation_caption),
    "fig3": (paper.integration, integration_caption),
    "fig4": (paper.untrained, untrained_caption),
    "appendix-c": (paper.errors, errors_caption),
    "appendix-e": (paper.measures_compared, measures_caption),
}


def _pictures(atlas: AtlasLike) -> Iterator[Picture]:
    for name, (draw, describe) in PAPER.items():
        yield Picture(name, partial(draw, atlas), partial(describe, atlas))
    in_paper = {tasks_with(atlas.study, computation)[0] for computation in get_args(Computation)}
    yield Picture("effects", partial(effects, atlas), partial(effects_caption, atlas))
    yield Picture("performance", partial(performance, atlas), partial(performance_caption, atlas))
    yield Picture("loss-curves", partial(loss_curves, atlas), partial(loss_curves_caption, atlas))
    yield Picture(
        "fixed-point-counts",
        partial(fixed_point_counts, atlas),
        partial(fixed_point_counts_caption, atlas),
    )
    for task in tasks(atlas):
        yield Picture(
            f"trajectories-{task}",
            partial(trajectories, atlas, task),
            partial(trajectories_caption, atlas, task),
        )
        for dynamics in dynamics_of(atlas.study, task):
            yield Picture(dynamics.name, partial(dynamics.draw, atlas, task), partial(dynamics.describe, atlas, task))
        if task not in in_paper:  # those hold a trial of each of the others
            yield Picture(
                f"trial-{task}", partial(stored_trial, atlas, task), partial(stored_trial_caption, atlas, task)
            )
        yield Picture(f"shepard-{task}", partial(shepard, atlas, task), partial(shepard_caption, atlas, task))
        for measure in measures(atlas, task):
            if measure in COMPARED:  # appendix E holds the same
                continue
            yield Picture(
                f"distances-{task}-{measure}",
                partial(distance_map, atlas, task, measure),
                partial(distance_map_caption, atlas, task, measure),
            )


def find(atlas: AtlasLike, names: Sequence[str]) -> list[Picture]:
    """The figures of these names, in this order; ``_`` may stand for ``-``.

    Raises:
        UnknownFigureError: there is no such figure; the nearest names are given, and all.
    """
    known = pictures(atlas)
    by_attribute = {attribute(name): name for name in known}
    found = []
    for name in names:
        if attribute(name) not in by_attribute:
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
            nearest = f"; the nearest: {', '.join(near)}" if near else ""
            raise UnknownFigureError(f"no figure {name!r}{nearest}. There are: {', '.join(known)}")
        found.append(known[by_attribute[attribute(name)]])
    return found


def attribute(name: str) -> str:
    """A figure's name as Python can write it."""
    return name.replace("-", "_")


def save_all(
    atlas: AtlasLike, formats: Sequence[Format] = FORMATS, names: Sequence[str] | None = None
) -> dict[str, bytes]:
    """Draw the figures of an atlas: all, or those of some names.

    Returns:
        File name, such as ``performance.svg``, → its content. The same atlas gives the same bytes.

    Raises:
        UnknownFigureError: there is no figure of one of the names.
    """
    files = {}
    for picture in pictures(atlas).values() if names is None else find(atlas, names):
        figure = picture()
        for format_ in formats:
            files[f"{picture.name}.{format_}"] = render(figure, format_)
    return files


class Plots:
    """Every figure of an atlas by its name: ``atlas.plot("fig1")`` or ``atlas.plot.fig1()``.

    In an attribute ``_`` stands for ``-``: ``atlas.plot.appendix_c()``. ``dir(atlas.plot)`` lists them, and
    ``atlas.plot.fig1.caption`` says how to read one. What is drawn is the matplotlib figure that ``dynatlas figures``
    saves; notebooks show it, and its ``savefig`` keeps the style.
    """

    def __init__(self, atlas: AtlasLike) -> None:
        self._atlas = atlas

    def __call__(self, name: str) -> Figure:
        """Draw one figure.

        Raises:
            UnknownFigureError: there is no such figure; the nearest names are given, and all.
        """
        [picture] = find(self._atlas, [name])
        return picture()

    def __getattr__(self, name: str) -> Picture:
        if name.startswith("_"):  # what notebooks and copy ask of every object
            raise AttributeError(name)
        try:
            [picture] = find(self._atlas, [name])
        except UnknownFigureError as error:
            raise AttributeError(str(error)) from None
        return picture

    def __dir__(self) -> list[str]:
        return [attribute(name) for name in pictures(self._atlas)]

    def __repr__(self) -> str:
        return f"figures of {self._atlas.study.name!r}: {', '.join(pictures(self._atlas))}"
