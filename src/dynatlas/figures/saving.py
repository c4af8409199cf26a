"""Every figure of an atlas, by name, and as files."""

import difflib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Literal, NamedTuple

from matplotlib.figure import Figure

from dynatlas.errors import UnknownFigureError
from dynatlas.figures import captions, paper
from dynatlas.figures.counts import fixed_point_counts
from dynatlas.figures.distances import distance_map, effects
from dynatlas.figures.frequencies import oscillation_frequencies
from dynatlas.figures.line_attractors import line_attractors
from dynatlas.figures.paper import captions as paper_captions
from dynatlas.figures.paper.measures import COMPARED
from dynatlas.figures.performance import loss_curves, performance
from dynatlas.figures.reading import AtlasLike, Missing, Snapshot, measures, tasks
from dynatlas.figures.shepard import shepard
from dynatlas.figures.state_spaces import trajectories
from dynatlas.figures.stored_trial import stored_trial
from dynatlas.figures.style import render
from dynatlas.figures.transition_graphs import transition_graphs
from dynatlas.tasks import BUILT_IN

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


# Of each task that has one, the figure of what its fixed points form.
DYNAMICS: dict[str, tuple[str, Callable[..., Figure], Callable[..., str]]] = {
    "flip_flop": ("transition-graphs", transition_graphs, captions.transition_graphs_caption),
    "sine_wave": ("oscillation-frequencies", oscillation_frequencies, captions.oscillation_frequencies_caption),
    "context_integration": ("line-attractors", line_attractors, captions.line_attractors_caption),
}


def pictures(atlas: AtlasLike) -> dict[str, Picture]:
    """Every figure of an atlas by its name, such as ``performance`` or ``distances-flip_flop-spectrum``."""
    snapshot = Snapshot(atlas)
    return {
        picture.name: picture._replace(draw=partial(_drawn, snapshot, picture.draw)) for picture in _pictures(snapshot)
    }


def _drawn(snapshot: Snapshot, draw: Callable[[], Figure]) -> Figure:
    """The figure in the looks of its own study, also where another atlas was opened in between."""
    snapshot.follow()
    return draw()


# The figures of the paper: what draws them, and what describes them.
PAPER: dict[str, tuple[Callable[..., Figure], Callable[..., str]]] = {
    "fig1": (paper.flip_flop, paper_captions.flip_flop_caption),
    "fig2": (paper.sine_wave, paper_captions.sine_wave_caption),
    "fig3": (paper.context_integration, paper_captions.context_integration_caption),
    "fig4": (paper.untrained, paper_captions.untrained_caption),
    "appendix-c": (paper.errors, paper_captions.errors_caption),
    "appendix-e": (paper.measures_compared, paper_captions.measures_caption),
}


def _pictures(atlas: AtlasLike) -> Iterator[Picture]:
    for name, (draw, describe) in PAPER.items():
        yield Picture(name, partial(draw, atlas), partial(describe, atlas))
    yield Picture("effects", partial(effects, atlas), partial(captions.effects_caption, atlas))
    yield Picture("performance", partial(performance, atlas), partial(captions.performance_caption, atlas))
    yield Picture("loss-curves", partial(loss_curves, atlas), partial(captions.loss_curves_caption, atlas))
    yield Picture(
        "fixed-point-counts",
        partial(fixed_point_counts, atlas),
        partial(captions.fixed_point_counts_caption, atlas),
    )
    for task in tasks(atlas):
        yield Picture(
            f"trajectories-{task}",
            partial(trajectories, atlas, task),
            partial(captions.trajectories_caption, atlas, task),
        )
        if task in DYNAMICS:
            name, draw, describe = DYNAMICS[task]
            yield Picture(name, partial(draw, atlas), partial(describe, atlas))
        if task not in BUILT_IN:  # the figures of the paper hold a trial of each of the others
            yield Picture(
                f"trial-{task}", partial(stored_trial, atlas, task), partial(captions.stored_trial_caption, atlas, task)
            )
        yield Picture(f"shepard-{task}", partial(shepard, atlas, task), partial(captions.shepard_caption, atlas, task))
        for measure in measures(atlas, task):
            if measure in COMPARED:  # appendix E holds the same
                continue
            yield Picture(
                f"distances-{task}-{measure}",
                partial(distance_map, atlas, task, measure),
                partial(captions.distance_map_caption, atlas, task, measure),
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
