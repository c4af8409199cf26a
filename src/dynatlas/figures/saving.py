"""Every figure of an atlas, by name, and as files."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Literal, NamedTuple

from matplotlib.figure import Figure

from dynatlas.figures import captions
from dynatlas.figures.counts import fixed_point_counts
from dynatlas.figures.distances import distance_map, effects
from dynatlas.figures.dynamics import line_attractors, oscillation_frequencies, transition_graphs
from dynatlas.figures.performance import loss_curves, performance
from dynatlas.figures.reading import AtlasLike, Missing, Snapshot, arrays, measures, representatives, tasks
from dynatlas.figures.shepard import shepard
from dynatlas.figures.style import TASK_TITLES, new_figure, render, styled, write_message
from dynatlas.figures.trajectories import trajectories
from dynatlas.figures.trial import trial_figure
from dynatlas.figures.untrained import untrained
from dynatlas.tasks import Trial

Format = Literal["svg", "pdf", "png"]
FORMATS: tuple[Format, ...] = ("svg", "pdf", "png")


class Picture(NamedTuple):
    """A figure that can be drawn, and its caption."""

    name: str
    draw: Callable[[], Figure]
    describe: Callable[[], str]

    @property
    def caption(self) -> str:
        """What a reader sees, or what is missing."""
        try:
            return self.describe()
        except Missing as missing:
            return str(missing).replace("\n", " ")


# Of each task that has one, the figure of what its fixed points form.
DYNAMICS: dict[str, tuple[str, Callable[..., Figure], Callable[..., str]]] = {
    "flip_flop": ("transition-graphs", transition_graphs, captions.transition_graphs_caption),
    "sine_wave": ("oscillation-frequencies", oscillation_frequencies, captions.oscillation_frequencies_caption),
    "context_integration": ("line-attractors", line_attractors, captions.line_attractors_caption),
}


def pictures(atlas: AtlasLike) -> dict[str, Picture]:
    """Every figure of an atlas by its name, such as ``performance`` or ``distances-flip_flop-svcca``."""
    return {picture.name: picture for picture in _pictures(Snapshot(atlas))}


def _pictures(atlas: AtlasLike) -> Iterator[Picture]:
    yield Picture("effects", partial(effects, atlas), partial(captions.effects_caption, atlas))
    yield Picture("performance", partial(performance, atlas), partial(captions.performance_caption, atlas))
    yield Picture("loss-curves", partial(loss_curves, atlas), partial(captions.loss_curves_caption, atlas))
    yield Picture(
        "fixed-point-counts",
        partial(fixed_point_counts, atlas),
        partial(captions.fixed_point_counts_caption, atlas),
    )
    for task in tasks(atlas):
        yield Picture(f"trial-{task}", partial(task_example, atlas, task), partial(captions.trial_caption, atlas, task))
        yield Picture(
            f"trajectories-{task}",
            partial(trajectories, atlas, task),
            partial(captions.trajectories_caption, atlas, task),
        )
        if task in DYNAMICS:
            name, draw, describe = DYNAMICS[task]
            yield Picture(name, partial(draw, atlas), partial(describe, atlas))
        yield Picture(
            f"controls-{task}", partial(untrained, atlas, task), partial(captions.untrained_caption, atlas, task)
        )
        yield Picture(f"shepard-{task}", partial(shepard, atlas, task), partial(captions.shepard_caption, atlas, task))
        for measure in measures(atlas, task):
            yield Picture(
                f"distances-{task}-{measure}",
                partial(distance_map, atlas, task, measure),
                partial(captions.distance_map_caption, atlas, task, measure),
            )


def task_example(atlas: AtlasLike, task: str) -> Figure:
    """One probe trial of a task, with the answer of its first representative network."""
    try:
        one = representatives(atlas, task)[0]
        data = arrays(atlas, f"trajectories/{one.network}", task)
    except Missing as missing:
        with styled():
            figure = new_figure(1.6, width=4.6)
            write_message(figure.subplots(), str(missing))
        return figure
    trial = len(data["inputs"]) // 3  # the ends of a grid of commands are its least typical trials
    shown = Trial(data["inputs"].values[trial], data["targets"].values[trial])
    return trial_figure(TASK_TITLES[task], shown, data["outputs"].values[trial])


def save_all(atlas: AtlasLike, formats: Sequence[Format] = FORMATS) -> dict[str, bytes]:
    """Draw every figure of an atlas.

    Returns:
        File name, such as ``fig-performance.svg``, → its content. The same atlas gives the same bytes.
    """
    files = {}
    for picture in pictures(atlas).values():
        figure = picture.draw()
        for format_ in formats:
            files[f"fig-{picture.name}.{format_}"] = render(figure, format_)
    return files
