"""Catalogue of the figures of an atlas: drawn by name, or saved as files."""

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
from dynatlas.figures.state_spaces import trajectories, trajectories_caption
from dynatlas.figures.style import render
from dynatlas.figures.training.learning import learning, learning_caption, points_learned, points_learned_caption
from dynatlas.figures.training.performance import loss_curves, loss_curves_caption, performance, performance_caption
from dynatlas.figures.transition_graphs import transition_graphs, transition_graphs_caption
from dynatlas.figures.trial import stored_trial, stored_trial_caption
from dynatlas.measures.findings import TRANSITIONS, comparing
from dynatlas.study.study import Study
from dynatlas.tasks.task import Computation

Format = Literal["svg", "pdf", "png"]
FORMATS: tuple[Format, ...] = ("svg", "pdf", "png")
DRAWN_FORMATS: tuple[Format, ...] = ("svg", "png")  # in which a run draws the figures of the paper


class Picture(NamedTuple):
    """A named figure: call it to draw the figure."""

    name: str
    draw: Callable[[], Figure]
    describe: Callable[[], str]

    def __call__(self) -> Figure:
        """Draw the figure."""
        return self.draw()

    @property
    def caption(self) -> str:
        """Caption of the figure, or the sentence that states which data are missing."""
        try:
            return self.describe()
        except Missing as missing:
            return str(missing).replace("\n", " ")


class DynamicsFigure(NamedTuple):
    """A figure of the dynamics of one task: how it forms, transition graphs, oscillations or line attractors."""

    name: str
    heading: str
    draw: Callable[[AtlasLike, str], Figure]
    describe: Callable[[AtlasLike, str], str]


TRANSITION_GRAPHS = DynamicsFigure(
    "transition-graphs", "Transition graphs", transition_graphs, transition_graphs_caption
)

OSCILLATION_FREQUENCIES = DynamicsFigure(
    "oscillation-frequencies", "Oscillation frequencies", oscillation_frequencies, oscillation_frequencies_caption
)

LINE_ATTRACTORS = DynamicsFigure("line-attractors", "Line attractors", line_attractors, line_attractors_caption)


LEARNING = DynamicsFigure("learning", "Through training", learning, learning_caption)

POINTS_LEARNED = DynamicsFigure(
    "fixed-points-learned", "Fixed points through training", points_learned, points_learned_caption
)


def dynamics_figures(study: Study, kind: str) -> list[DynamicsFigure]:
    """Return the dynamics figures of a task.

    The first task with a figure has the plain name; every further task has its kind appended.
    """
    of_graphs = comparing(TRANSITIONS)
    graphs = [task.name for task in study.tasks if not of_graphs.isdisjoint(task.topology)]
    followed = [task.name for task in study.tasks if study.snapshots]
    belongs = {
        TRANSITION_GRAPHS: graphs,
        OSCILLATION_FREQUENCIES: tasks_with(study, "oscillation")[:1],  # the table ``frequencies`` holds one task
        LINE_ATTRACTORS: tasks_with(study, "integration"),
        LEARNING: followed,
        POINTS_LEARNED: followed,
    }
    return [
        dynamics if kind == kinds[0] else dynamics._replace(name=f"{dynamics.name}-{kind}")
        for dynamics, kinds in belongs.items()
        if kind in kinds
    ]


def pictures(atlas: AtlasLike) -> dict[str, Picture]:
    """Return the figures of an atlas by name, such as ``performance`` or ``distances-flip_flop-spectrum``."""
    return {picture.name: picture for picture in _pictures(Snapshot(atlas))}


# Figures of the paper: name → (draw, caption).
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
        for dynamics in dynamics_figures(atlas.study, task):
            yield Picture(dynamics.name, partial(dynamics.draw, atlas, task), partial(dynamics.describe, atlas, task))
        if task not in in_paper:  # figures 1 to 3 show a trial of the other tasks
            yield Picture(
                f"trial-{task}", partial(stored_trial, atlas, task), partial(stored_trial_caption, atlas, task)
            )
        yield Picture(f"shepard-{task}", partial(shepard, atlas, task), partial(shepard_caption, atlas, task))
        for measure in measures(atlas, task):
            if measure in COMPARED:  # shown in appendix E
                continue
            yield Picture(
                f"distances-{task}-{measure}",
                partial(distance_map, atlas, task, measure),
                partial(distance_map_caption, atlas, task, measure),
            )


def find(atlas: AtlasLike, names: Sequence[str]) -> list[Picture]:
    """Return the figures with these names, in this order; ``_`` may stand for ``-``.

    Raises:
        UnknownFigureError: there is no such figure; the nearest names are given, and all.
    """
    known = pictures(atlas)
    by_attribute = {attribute_name(name): name for name in known}
    found = []
    for name in names:
        if attribute_name(name) not in by_attribute:
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
            nearest = f"; the nearest: {', '.join(near)}" if near else ""
            raise UnknownFigureError(f"no figure {name!r}{nearest}. There are: {', '.join(known)}")
        found.append(known[by_attribute[attribute_name(name)]])
    return found


def attribute_name(name: str) -> str:
    """Return a figure's name as a Python attribute."""
    return name.replace("-", "_")


def save_all(
    atlas: AtlasLike, formats: Sequence[Format] = FORMATS, names: Sequence[str] | None = None
) -> dict[str, bytes]:
    """Draw the figures of an atlas, by default all.

    Returns:
        File name, such as ``performance.svg``, → content. The same atlas yields the same bytes.

    Raises:
        UnknownFigureError: there is no figure with one of the names.
    """
    files = {}
    for picture in pictures(atlas).values() if names is None else find(atlas, names):
        figure = picture()
        for format_ in formats:
            files[f"{picture.name}.{format_}"] = render(figure, format_)
    return files


class Plots:
    """Figures of an atlas by name: ``atlas.plot("fig1")`` or ``atlas.plot.fig1()``.

    In an attribute ``_`` stands for ``-``: ``atlas.plot.appendix_c()``. ``dir(atlas.plot)`` lists the names, and
    ``atlas.plot.fig1.caption`` explains a figure. Each call returns the matplotlib figure that ``dynatlas figures``
    saves; notebooks display it, and its ``savefig`` keeps the style.
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
        if name.startswith("_"):  # looked up by notebooks and ``copy`` on every object
            raise AttributeError(name)
        try:
            [picture] = find(self._atlas, [name])
        except UnknownFigureError as error:
            raise AttributeError(str(error)) from None
        return picture

    def __dir__(self) -> list[str]:
        return [attribute_name(name) for name in pictures(self._atlas)]

    def __repr__(self) -> str:
        return f"figures of {self._atlas.study.name!r}: {', '.join(pictures(self._atlas))}"
