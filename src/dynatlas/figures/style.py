"""Layout of figures: width, font sizes, panels and headings. Colours are in ``looks``."""

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
from dynatlas.atlas.view import AtlasLike, Missing, Variant, levels_of, narrow_title, shown_factors, tasks
from dynatlas.figures.looks import (
    factor_label,
    level_label,
    level_title,
    plain,
    short_variant_label,
    variant_label,
    variant_words,
)
from dynatlas.study.study import Study

PAGE_WIDTH: Final = 7.1  # inches: two journal columns
# Panels with more marks or lines are rasterised; a vector file of them would take seconds to open.
MOST_MARKS: Final = 500
TICK_WIDTH: Final = 0.11  # inches that the label of a variant below a panel needs
SMALLEST: Final = 6  # points: the smallest font size that journals accept
GREY: Final = "#6B6B6B"

_RC: Final[Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # bundled with matplotlib: the same layout on every machine
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
    "svg.fonttype": "none",  # text remains editable
    "svg.hashsalt": "dynatlas",  # ids depend on the content only
    "pdf.fonttype": 42,
}

_DECIMALS = 6  # of positions relative to the figure
_NO_DATE: Final[Any] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}


@contextmanager
def styled() -> Iterator[None]:
    """Apply the style to everything drawn or saved in the context."""
    # rc_context alone would keep the settings of a user's matplotlibrc, and figures would depend on the machine. The
    # backend is not reset: these figures need none, and rc_context would not restore it.
    with matplotlib.rc_context():
        defaults: Any = {name: value for name, value in matplotlib.rcParamsDefault.items() if name != "backend"}
        matplotlib.rcParams.update(defaults)
        matplotlib.rcParams.update(_RC)
        yield


class PrintFigure(Figure):
    """Figure that keeps its style when saved, and that notebooks display without pyplot."""

    def savefig(self, *args: Any, **settings: Any) -> None:
        """Save the figure as matplotlib does, in the style of dynatlas: text in an SVG remains text."""
        with styled():
            super().savefig(*args, **settings)

    def _repr_png_(self) -> bytes:
        return render(self, "png")


def new_figure(height: float, width: float = PAGE_WIDTH) -> PrintFigure:
    """Return an empty figure of this size in inches, with constrained layout."""
    return PrintFigure(figsize=(width, height), layout="constrained")


def split_rows(part: Figure | SubFigure, heights: Sequence[float]) -> list[SubFigure]:
    """Split a figure into rows with these relative heights."""
    grid: Any = part.subfigures(len(heights), 1, squeeze=False, height_ratios=heights)
    return list(grid[:, 0])


def split_columns(part: Figure | SubFigure, widths: Sequence[float]) -> list[SubFigure]:
    """Split a figure into columns with these relative widths."""
    grid: Any = part.subfigures(1, len(widths), squeeze=False, width_ratios=widths)
    return list(grid[0])


def task_panels(figure: Figure, atlas: AtlasLike) -> Iterator[tuple[Axes, str]]:
    """Yield a titled panel for each task of the study, side by side."""
    kinds = tasks(atlas)
    for axes, task in zip(figure.subplots(1, len(kinds), squeeze=False)[0], kinds, strict=True):
        axes.set_title(narrow_title(atlas.study, task), parse_math=False)
        yield axes, task


def figure_title(figure: Figure, title: str) -> None:
    """Write the title of a figure; in a user-defined title “$” does not start a formula."""
    figure.suptitle(title, fontsize=8, fontweight="bold", parse_math=False)


def heading(part: SubFigure, letter: str, title: str, size: float = 8.0) -> None:
    """Write the letter and the title of a part of a figure."""
    text = f"{letter}   {sentence_case(title)}"
    part.suptitle(text, x=0.01, ha="left", fontsize=size, fontweight="bold", parse_math=False)


def render(figure: Figure, format: Literal["svg", "pdf", "png"]) -> bytes:  # noqa: A002 - as in matplotlib
    """Return the figure as a file; the same figure yields the same bytes."""
    target = io.BytesIO()
    with styled():
        # The layout, most of the drawing time, is computed once for all formats.
        if figure.get_layout_engine() is not None:
            figure.draw_without_rendering()
            figure.set_layout_engine("none")
            _round_layout(figure)
        figure.savefig(target, format=format, metadata=_NO_DATE[format], facecolor="white")
    return target.getvalue()


def _round_layout(figure: Figure) -> None:
    """Round the positions found by the layout solver, whose last digits depend on memory addresses.

    The ids in an SVG are hashes of the positions.
    """
    parts: list[SubFigure] = list(figure.subfigs)
    for part in parts:
        parts.extend(part.subfigs)
        part.bbox_relative.set_points(part.bbox_relative.get_points().round(_DECIMALS))
    for axes in figure.axes:
        axes.set_position(Bbox(axes.get_position(original=True).get_points().round(_DECIMALS)))


def side_by_side(count: int, spread: float) -> NDArray[np.float64]:
    """Return evenly spaced offsets from −``spread`` to ``spread``: a jitter without random numbers.

    Example:
        >>> side_by_side(3, 0.25).tolist(), side_by_side(1, 0.25).tolist()
        ([-0.25, 0.0, 0.25], [0.0])
    """
    return np.linspace(-spread, spread, count) if count > 1 else np.zeros(count)


def variant_ticks(axes: Axes, study: Study, columns: Sequence[Variant]) -> None:
    """Label the columns of a panel with variants."""
    ticks: list[tuple[float, str]] = [(place, short_variant_label(study, of)) for place, of in enumerate(columns)]
    words = variant_words(study)
    if words and len(ticks) > axes.bbox.width / axes.figure.dpi / TICK_WIDTH:
        first, second = shown_factors(study)
        inner = levels_of(study, second)
        middle = (len(inner) - 1) / 2
        ticks = [
            (place + middle, level_label(first, columns[place][0])) for place in range(0, len(columns), len(inner))
        ]
        ends = " to ".join(level_label(second, inner[end]) for end in (0, -1))
        words = f"{factor_label(first)};\n{factor_label(second)} {ends} in each"
    labels = [plain(label) for _, label in ticks]
    axes.set_xticks([place for place, _ in ticks], labels, rotation=60, ha="right", rotation_mode="anchor")
    axes.set_xlabel(words, parse_math=False)


def title_grid(grid: Any, study: Study, columns: Sequence[Any], rows: Sequence[Any], **style: Any) -> None:
    """Title the panels of a grid of variants: each by its names, or by its numbers above and at the left."""
    if not variant_words(study):
        for i, j in np.ndindex(grid.shape):
            grid[i, j].set_title(variant_label(study, (columns[j], rows[i])), **style)
        return
    first, second = shown_factors(study)
    box, inch = grid[0, 0].bbox, grid[0, 0].figure.dpi
    for axes, title in zip(grid[0], _titles(first, columns, box.width / inch), strict=True):
        axes.set_title(title, parse_math=False, **style)
    turned = {"rotation": 90, "ha": "right", "va": "center", "parse_math": False}
    for axes, title in zip(grid[:, 0], _titles(second, rows, box.height / inch), strict=True):
        if len(rows) > 1:
            axes.text(-0.04, 0.5, title, transform=axes.transAxes, **turned, **style)


def _titles(factor: str, levels: Sequence[Any], inches: float) -> list[str]:
    """Return the titles of levels, wrapped where 7 points need more than these inches."""
    most = max(8, int(inches * 72 / 4))
    titles = [level_title(factor, level) for level in levels]
    if max(map(len, titles)) <= most:
        return titles
    labels = [level_label(factor, level) for level in levels]
    return [
        "\n".join(textwrap.wrap(title.removesuffix(label), most) + textwrap.wrap(label, most))
        for title, label in zip(titles, labels, strict=True)
    ]


def write_message(axes: Axes, message: str) -> None:
    """Write the reason into an empty panel."""
    axes.set_axis_off()
    # Wrapped to the width of the panel; matplotlib would wrap to the width of the figure.
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
    """Call ``draw(axes, …)``, or write into the panel which data are missing."""
    try:
        return draw(axes, *args, **settings)
    except Missing as missing:
        write_message(axes, str(missing))
        return None
