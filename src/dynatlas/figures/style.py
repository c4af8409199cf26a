"""Page layout of figures: width, type sizes, panels and headings. The colours are in ``looks``."""

import io
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

from dynatlas._util.messages import sentence_case
from dynatlas.atlas.view import AtlasLike, Missing, narrow_title, tasks
from dynatlas.figures.looks import variant_label

PAGE_WIDTH: Final = 7.1  # inches: two journal columns
# More marks or lines than these in a panel are one picture in a vector file, which else would take seconds to open.
MOST_MARKS: Final = 500
SMALLEST: Final = 6  # points: the least size of type that journals print
GREY: Final = "#6B6B6B"

_RC: Final[Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib: the same layout on every machine
    "font.size": 7,
    "axes.titlesize": 8,
    "axes.titleweight": "bold",
    "axes.labelsize": 7,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "legend.fontsize": 6.5,
    "legend.frameon": False,
    "legend.handletextpad": 0.4,
    "legend.columnspacing": 1.2,
    "lines.linewidth": 0.9,
    "figure.dpi": 100,
    "savefig.dpi": 200,
    "svg.fonttype": "none",  # text stays text, to be edited
    "svg.hashsalt": "dynatlas",  # ids in the file depend on its content only
    "pdf.fonttype": 42,
}

_PLACES = 6  # decimals, of the figure's size
_NO_DATE: Final[Any] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}


@contextmanager
def styled() -> Iterator[None]:
    """Everything drawn or saved inside has the one style."""
    # rc_context alone would let a user's own matplotlibrc through, and the picture would depend on the machine. The
    # backend is left alone: our figures have none, and rc_context would not give the user's back.
    with matplotlib.rc_context():
        defaults: Any = {name: value for name, value in matplotlib.rcParamsDefault.items() if name != "backend"}
        matplotlib.rcParams.update(defaults)
        matplotlib.rcParams.update(_RC)
        yield


class PrintFigure(Figure):
    """A figure that keeps its style when it is saved, and that notebooks show, also without pyplot."""

    def savefig(self, *args: Any, **settings: Any) -> None:
        """As matplotlib's, in the one style: text in an SVG stays text."""
        with styled():
            super().savefig(*args, **settings)

    def _repr_png_(self) -> bytes:
        return render(self, "png")


def new_figure(height: float, width: float = PAGE_WIDTH) -> PrintFigure:
    """An empty figure, in inches, that lays itself out."""
    return PrintFigure(figsize=(width, height), layout="constrained")


def rows_of(part: Figure | SubFigure, heights: Sequence[float]) -> list[SubFigure]:
    """Parts one below another, of heights in proportion."""
    grid: Any = part.subfigures(len(heights), 1, squeeze=False, height_ratios=heights)
    return list(grid[:, 0])


def columns_of(part: Figure | SubFigure, widths: Sequence[float]) -> list[SubFigure]:
    """Parts beside each other, of widths in proportion."""
    grid: Any = part.subfigures(1, len(widths), squeeze=False, width_ratios=widths)
    return list(grid[0])


def task_panels(figure: Figure, atlas: AtlasLike) -> Iterator[tuple[Axes, str]]:
    """A panel for each of the study's tasks, beside each other under their titles."""
    kinds = tasks(atlas)
    for axes, task in zip(figure.subplots(1, len(kinds), squeeze=False)[0], kinds, strict=True):
        axes.set_title(narrow_title(atlas.study, task), parse_math=False)
        yield axes, task


def entitle(figure: Figure, title: str) -> None:
    """The title of a whole figure. It may be a user's own, in which “$” starts no formula."""
    figure.suptitle(title, fontsize=8, fontweight="bold", parse_math=False)


def heading(part: SubFigure, letter: str, title: str, size: float = 8.0) -> None:
    """The letter and the title of a part of a figure, above it at the left."""
    text = f"{letter}   {sentence_case(title)}"
    part.suptitle(text, x=0.01, ha="left", fontsize=size, fontweight="bold", parse_math=False)


def render(figure: Figure, format: Literal["svg", "pdf", "png"]) -> bytes:  # noqa: A002 - matplotlib's word
    """The figure as a file; the same figure gives the same bytes."""
    target = io.BytesIO()
    with styled():
        # Laid out once, for all formats alike: that is most of the time that drawing takes.
        if figure.get_layout_engine() is not None:
            figure.draw_without_rendering()
            figure.set_layout_engine("none")
            _settle(figure)
        figure.savefig(target, format=format, metadata=_NO_DATE[format], facecolor="white")
    return target.getvalue()


def _settle(figure: Figure) -> None:
    """Round the places that the layout's solver found: their last digits depend on where things lie in memory.

    They would show in an SVG, whose ids are hashes of them.
    """
    parts: list[SubFigure] = list(figure.subfigs)
    for part in parts:
        parts.extend(part.subfigs)
        part.bbox_relative.set_points(part.bbox_relative.get_points().round(_PLACES))
    for axes in figure.axes:
        axes.set_position(Bbox(axes.get_position(original=True).get_points().round(_PLACES)))


def side_by_side(count: int, spread: float) -> NDArray[np.float64]:
    """Places of marks beside each other, up to ``spread`` from the middle: a jitter that needs no random number.

    Example:
        >>> side_by_side(3, 0.25).tolist(), side_by_side(1, 0.25).tolist()
        ([-0.25, 0.0, 0.25], [0.0])
    """
    return np.linspace(-spread, spread, count) if count > 1 else np.zeros(count)


def variant_ticks(axes: Axes, columns: Sequence[tuple[str, str]]) -> None:
    """Name the columns of a panel after (architecture, activation) pairs."""
    labels = [variant_label(architecture, activation) for architecture, activation in columns]
    axes.set_xticks(range(len(columns)), labels, rotation=60, ha="right", rotation_mode="anchor")


def write_message(axes: Axes, message: str) -> None:
    """Say in an otherwise empty panel why it is empty."""
    axes.set_axis_off()
    # As many letters as fit, since matplotlib's own wrapping knows the figure's width only.
    letters = max(14, int(axes.bbox.width / axes.figure.dpi * 72 / (0.55 * SMALLEST)))
    lines = [part for line in message.splitlines() for part in textwrap.wrap(line, letters)]
    axes.text(
        0.5,
        0.5,
        "\n".join(lines),
        transform=axes.transAxes,
        ha="center",
        va="center",
        color=GREY,
        fontsize=SMALLEST,
        parse_math=False,
        in_layout=False,  # a long message must not shrink its neighbours
    )


def panel(axes: Axes, draw: Callable[..., Any], *args: Any, **settings: Any) -> Any:
    """``draw(axes, …)``, or a panel that says what is missing."""
    try:
        return draw(axes, *args, **settings)
    except Missing as missing:
        write_message(axes, str(missing))
        return None
