"""Number and stability of fixed points, and completeness of the searches."""

from collections import Counter
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from dynatlas._util.messages import count_of
from dynatlas._util.modes import mode
from dynatlas.atlas.view import AtlasLike, narrow_title, of_variant, table, tasks, variants
from dynatlas.figures.looks import plain, variant_label
from dynatlas.figures.style import GREY, SMALLEST, new_figure, panel, styled

CERTIFICATE_COLORS = {
    "complete": "#009E73",
    "consistent": "#56B4E9",
    "supported": "#F0E442",
    "incomplete": "#D55E00",
    "not certifiable": "#C9CED3",
}

_MOST_COLUMNS = 5  # 0, 1, 2, 3, and 4 or more unstable directions


class RootCounts(NamedTuple):
    """Number of roots with 0, 1, 2 … unstable directions that one search found."""

    network: str
    condition: int
    by_unstable: tuple[int, ...]  # the last entry is not 0; empty without roots


def count_roots(atlas: AtlasLike, task: str) -> list[RootCounts]:
    """Count the roots of each search of a task by their number of unstable directions.

    Raises:
        Missing: the table ``searches`` or ``fixed_points`` is not stored.
    """
    made = table(atlas, "searches", task)
    if int(made["n_roots"].sum()) == 0:
        return [RootCounts(str(n), int(c), ()) for n, c in zip(made["network"], made["condition"], strict=True)]
    points = table(atlas, "fixed_points", task)
    roots = points[~points["is_slow"].astype(bool)]
    counts: dict[tuple[str, int], Counter[int]] = {}
    for network, condition, n_unstable in zip(roots["network"], roots["condition"], roots["n_unstable"], strict=True):
        counts.setdefault((network, int(condition)), Counter())[int(n_unstable)] += 1
    found = []
    for network, condition in zip(made["network"], made["condition"], strict=True):
        count = counts.get((network, int(condition)), Counter())
        length = max(count, default=-1) + 1
        found.append(RootCounts(str(network), int(condition), tuple(count[k] for k in range(length))))
    return found


def composition(by_unstable: tuple[int, ...]) -> str:
    """Format the counts: ``8 + 12 + 6 + 1``, or ``1 (7 unstable)`` if there are more than four numbers."""
    if not any(by_unstable):
        return "none"
    if len(by_unstable) <= 4:
        return " + ".join(map(str, by_unstable))
    return ", ".join(f"{count} ({k} unstable)" for k, count in enumerate(by_unstable) if count)


def fixed_point_counts(atlas: AtlasLike) -> Figure:
    """Draw the modal number of roots by stability for each variant, and the shares of the certificates."""
    kinds = tasks(atlas)
    rows = len(variants(atlas))
    with styled():
        figure = new_figure(max(1.6, 0.9 + 0.19 * rows))
        grid = figure.subplots(1, 2 * len(kinds), squeeze=False, width_ratios=[1.5, 1] * len(kinds))[0]
        for number, task in enumerate(kinds):
            table_axes, bar_axes = grid[2 * number], grid[2 * number + 1]
            table_axes.set_title(narrow_title(atlas.study, task), parse_math=False, fontsize=7)
            if panel(table_axes, _draw_counts, atlas, task, labelled=number == 0):
                bar_axes.set_title("certificate", fontsize=6.5, fontweight="normal")
                panel(bar_axes, _draw_certificates, atlas, task)
            else:
                bar_axes.set_axis_off()
        handles = [Patch(color=color, label=name) for name, color in CERTIFICATE_COLORS.items()]
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def _draw_counts(axes: Axes, atlas: AtlasLike, task: str, *, labelled: bool) -> bool:
    networks = table(atlas, "networks", task)
    found = count_roots(atlas, task)
    longest = max((len(search.by_unstable) for search in found), default=0)
    columns = min(max(longest, 1), _MOST_COLUMNS)
    names = variants(atlas)
    for row, variant in enumerate(names):
        members = set(of_variant(atlas.study, networks, variant)["network"])
        folded = [_pool_high_counts(search.by_unstable, columns) for search in found if search.network in members]
        if not folded:
            axes.text(columns / 2 - 0.5, row, "none analysed", ha="center", va="center", color=GREY, fontsize=SMALLEST)
            continue
        for column in range(columns):
            count, times = mode(counts[column] for counts in folded)
            share = times / len(folded)
            axes.fill_between([column - 0.48, column + 0.48], row - 0.46, row + 0.46, color=_shade(share), linewidth=0)
            ink = "white" if share > 0.6 else "#1A1A1A"
            axes.text(column, row, str(count), ha="center", va="center", fontsize=6.5, color=ink)
    axes.set_xlim(-0.5, columns - 0.5)
    axes.set_ylim(len(names) - 0.5, -0.5)
    last = f"{columns - 1}+" if longest > columns else str(columns - 1)
    axes.set_xticks(range(columns), [*map(str, range(columns - 1)), last])
    axes.set_xlabel("unstable directions")
    labels = [plain(variant_label(atlas.study, name)) if labelled else "" for name in names]
    axes.set_yticks(range(len(names)), labels)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return True


def _pool_high_counts(by_unstable: tuple[int, ...], columns: int) -> tuple[int, ...]:
    """Add the counts beyond the last column to the last column."""
    padded = by_unstable + (0,) * columns
    return (*padded[: columns - 1], sum(padded[columns - 1 :]))


def _shade(share: float) -> tuple[float, ...]:
    """Return a colour from white to blue for the share of searches that agree."""
    white, blue = (0.93, 0.95, 0.97), (0.0, 0.3, 0.5)
    return tuple(w + (b - w) * share**1.5 for w, b in zip(white, blue, strict=True))


def _draw_certificates(axes: Axes, atlas: AtlasLike, task: str) -> Any:
    networks = table(atlas, "networks", task)
    made = table(atlas, "searches", task)
    for row, variant in enumerate(variants(atlas)):
        rows = made[made["network"].isin(of_variant(atlas.study, networks, variant)["network"])]
        left = 0.0
        for name, color in CERTIFICATE_COLORS.items():
            share = float((rows["certificate"] == name).mean()) if len(rows) else 0.0
            axes.barh(row, share, left=left, color=color, height=0.7)
            left += share
    axes.set_ylim(len(variants(atlas)) - 0.5, -0.5)
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 1], ["0", "1"])
    axes.set_xlabel("share of searches")
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)


def fixed_point_counts_caption(atlas: AtlasLike) -> str:
    """Return the caption of ``fixed_point_counts``."""
    made = table(atlas, "searches")
    return (
        f"Fixed points by their number of unstable directions, from {count_of(len(made), 'search', 'searches')} over "
        f"{count_of(made['network'].nunique(), 'network')} that passed: one search per network and static input. "
        "Each number is the most common count within its variant; a darker cell means that more of the searches "
        "agree. Slow points are not counted. Bars: the share of searches with index sum 1 and a closed Morse graph, "
        "or all linear regions examined (complete; in atlases of earlier versions, the sum alone), with the sum alone "
        "(consistent), with the sum of a relu network whose growth at infinity was searched, not bounded (supported), "
        "with another sum (incomplete), or where no such law is known or supported (not certifiable)."
    )


def modal_composition(atlas: AtlasLike, task: str) -> tuple[tuple[int, ...], int, int]:
    """Return the modal composition of roots of a task, the number of searches with it, and the number of searches.

    Raises:
        Missing: no searches are stored.
    """
    found = count_roots(atlas, task)
    by_unstable, times = mode(search.by_unstable for search in found)
    return by_unstable, times, len(found)
