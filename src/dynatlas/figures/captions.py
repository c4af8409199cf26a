"""What a reader sees in each figure: how to read it, how many networks it shows, who was left out and why."""

import re
from collections import Counter
from collections.abc import Iterable

import pandas as pd

from dynatlas.cards import count_of
from dynatlas.figures.counts import searches
from dynatlas.figures.reading import AtlasLike, Missing, map_facts, representatives, table, task_title
from dynatlas.figures.shepard import MOST_PAIRS
from dynatlas.figures.style import measure_label
from dynatlas.figures.trajectories import MOST_STEPS, most_trials
from dynatlas.schema import SIGNIFICANT, aspect

_NUMBER = re.compile(r"(?<![\w.])[-+−]?\d+(?:\.\d+)?(?:e[-+]?\d+)?(?![\w.]*\d)", re.IGNORECASE)


def left_out(networks: pd.DataFrame) -> dict[str, int]:
    """The networks that did not pass, counted by reason, the most frequent first.

    Reasons that differ only in their numbers, in more than three ways, are one; “…” then stands for the numbers.
    """
    reasons = [reason or "no reason was recorded" for reason in networks.loc[~networks["passed"], "reason"]]
    kinds: dict[str, list[str]] = {}
    for reason in reasons:
        kinds.setdefault(_NUMBER.sub("…", reason), []).append(reason)
    counts: Counter[str] = Counter()
    for kind, same in kinds.items():
        counts.update(same if len(set(same)) <= 3 else [kind] * len(same))
    return dict(counts.most_common())


def left_out_sentence(networks: pd.DataFrame) -> str:
    """How many networks did not pass, and why."""
    reasons = left_out(networks)
    if not reasons:
        return "No network was left out."
    listed = "; ".join(f"{count} — {reason}" for reason, count in reasons.items())
    return f"Left out: {listed}."


def performance_caption(atlas: AtlasLike) -> str:
    """The caption of ``performance``."""
    networks = table(atlas, "networks")
    return (
        f"Error of {count_of(len(networks), 'trained network')} on held-out trials, on a logarithmic scale; lower "
        "is better. Each mark is one network. The dashed line is the task’s threshold: networks above it are "
        "marked with a cross and left out of all analyses; a triangle marks an error that is not a finite number. "
        f"{left_out_sentence(networks)}"
    )


def loss_curves_caption(atlas: AtlasLike) -> str:
    """The caption of ``loss_curves``."""
    curves = table(atlas, "losses")["network"].nunique()
    return (
        f"Mean squared error on held-out trials during training, of {count_of(curves, 'network')}, on a logarithmic "
        "scale. Colour is the architecture, line style the activation. Networks that later failed their threshold "
        "are shown too; errors that are not finite are not."
    )


def fixed_point_counts_caption(atlas: AtlasLike) -> str:
    """The caption of ``fixed_point_counts``."""
    made = table(atlas, "searches")
    return (
        f"Fixed points by their number of unstable directions, from {count_of(len(made), 'search', 'searches')} over "
        f"{count_of(made['network'].nunique(), 'network')} that passed: one search per network and static input. "
        "Each number is the most common count within its variant; the darker the cell, the more of the searches "
        "agree. Slow points are not counted. Bars: the share of searches whose index sum proves nothing missing "
        "(complete), is not 1 (incomplete), or has no proof to offer because the map is unbounded (not certifiable)."
    )


def effects_caption(atlas: AtlasLike) -> str:
    """The caption of ``effects``."""
    rows = table(atlas, "effects")
    sizes = sorted(set(rows["n_networks"]))
    n = f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]}–{sizes[-1]}"
    return (
        f"Share of the variance of each distance matrix that each factor explains (PERMANOVA R², n = {n} networks "
        f"per matrix). {_compared(rows['measure'].unique())} Filled: p < {SIGNIFICANT:g} "
        "in permutations within the other factors’ strata. Chance alone gives an R² above 0."
    )


def _compared(measures: Iterable[str]) -> str:
    """What the measures shown compare, such as ``SVCCA and CKA compare geometry; spectrum compares topology.``."""
    by_aspect: dict[str, list[str]] = {}
    for measure in measures:
        by_aspect.setdefault(aspect(measure), []).append(measure_label(measure))
    parts = []
    for what, names in by_aspect.items():
        listed = " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
        parts.append(f"{listed} compare{'s' if len(names) == 1 else ''} {what}")
    said = "; ".join(parts)
    return f"{said[:1].upper()}{said[1:]}."


def trajectories_caption(atlas: AtlasLike, task: str) -> str:
    """The caption of ``trajectories`` for one task."""
    chosen = representatives(atlas, task)
    colors = {
        "flip_flop": "Grey: probe trajectories.",
        "sine_wave": "Colour: the commanded frequency.",
        "context_integration": "Colour: the cued evidence; line style: the context.",
    }.get(task, "Grey: probe trajectories.")
    settings = atlas.study.task(task)
    steps = f" (the last {MOST_STEPS} steps of each)" if settings.steps > MOST_STEPS else ""
    return (
        f"{task_title(atlas.study, task)}: state space of {count_of(len(chosen), 'representative network')}, one per "
        "variant, in the first three principal components of its own probe activity, each component scaled to its "
        f"range; the percentages are their shares of the variance. {colors} At most {most_trials(atlas, task)} probe "
        f"trials are drawn{steps}. Filled points: stable fixed points; open points: saddles, coloured by their number "
        "of unstable directions; line through a saddle: its leading unstable direction; ×: slow point, not a root. "
        "Points further from the activity than its own range are not drawn but counted."
    )


def stored_trial_caption(atlas: AtlasLike, task: str) -> str:
    """The caption of ``stored_trial``."""
    one = representatives(atlas, task)[0]
    return (
        f"{task_title(atlas.study, task)}: a trial of the probe, with the inputs, the targets, and the answer of one "
        f"network ({one.name}). Of many channels the first eight are drawn."
    )


def distance_map_caption(atlas: AtlasLike, task: str, measure: str) -> str:
    """The caption of ``distance_map`` for one task and measure."""
    facts = map_facts(atlas, task, measure)
    if facts is None:
        table(atlas, "maps", task)  # says what to do if it is the table that is missing
        raise Missing(f"The table “maps” has no row for {measure} in this atlas.")
    failed = left_out_sentence(table(atlas, "networks", task))
    here = (
        f" Of those that passed, {facts['n_left_out']} were left out of this map: {facts['left_out_reason']}."
        if facts["n_left_out"]
        else ""
    )
    return (
        f"{task_title(atlas.study, task)}: {measure_label(measure)} distances between "
        f"{count_of(int(facts['n_networks']), 'network')}, sorted by architecture and activation, and their metric MDS "
        f"in two dimensions (stress {facts['stress']:.2f}: 0 would be a map without distortion), coloured by each "
        f"factor, the other one shown by shape. {failed}{here}"
    )


def shepard_caption(atlas: AtlasLike, task: str) -> str:
    """The caption of ``shepard``."""
    table(atlas, "embeddings", task)
    return (
        f"{task_title(atlas.study, task)}: the distance of every pair of networks on each map in two dimensions "
        "against the distance that was measured; on the line, a map without distortion. Of more than "
        f"{MOST_PAIRS:,} pairs an even selection."
    )


def modal_composition(atlas: AtlasLike, task: str) -> tuple[tuple[int, ...], int, int]:
    """The most common composition of roots of a task, how many searches have it, and how many were made.

    Raises:
        Missing: no searches are stored.
    """
    found = searches(atlas, task)
    by_unstable, times = Counter(search.by_unstable for search in found).most_common(1)[0]
    return by_unstable, times, len(found)


def transition_graphs_caption(atlas: AtlasLike) -> str:
    """The caption of ``transition_graphs``."""
    networks = len(table(atlas, "searches", "flip_flop"))
    sensitivity = table(atlas, "transition_sensitivity", "flip_flop")
    settings = atlas.study.analysis
    own = sensitivity["scale"] == settings.transition_scale
    by_scale = sensitivity[~own].groupby("scale")["distance"].median()
    changes = "; ".join(f"{scale:g}: {distance:.2f}" for scale, distance in by_scale.items())
    lost = 100 * sensitivity.loc[own, "lost"].median()
    return (
        "One trained network of each kind. Points are its fixed points, at the place of their readout, coloured by "
        f"their number of unstable directions. From each, {settings.transition_trials} states displaced by "
        f"{settings.transition_scale:g} of the distance to the nearest point run until they settle; an arrow leads to "
        "each stable point that at least 2 % of them reach, the wider the more. Over all "
        f"{count_of(networks, 'network')}, {lost:.1f} % of the states settle nowhere (median). With other "
        f"displacements the graphs change by these Frobenius distances (medians): {changes or 'none was tried'}."
    )


def oscillation_frequencies_caption(atlas: AtlasLike) -> str:
    """The caption of ``oscillation_frequencies``."""
    networks = table(atlas, "oscillations")["network"].nunique()
    kinds = table(atlas, "attractors", "sine_wave")["kind"].value_counts()
    listed = ", ".join(f"{count} × {kind}" for kind, count in kinds.items())
    return (
        "Above: the frequency of the leading complex pair of eigenvalues at the fixed point in the middle of each "
        "oscillation, less the frequency that the command asks for. Below: the same for the rotation number of the "
        "attractor that the network reaches when it is left alone under the command. Lines are means over networks, "
        f"bands their standard errors; {count_of(networks, 'network')}. Attractors: {listed}."
    )


def smallest_lines(atlas: AtlasLike) -> int:
    """How many networks of the smallest size have line attractors: those of which spectra and responses are drawn."""
    networks = table(atlas, "networks", "context_integration")
    networks = networks[networks["units"] == min(atlas.study.population.units)]
    return int(networks["network"].isin(table(atlas, "line_attractors", "context_integration")["network"]).sum())


def line_attractors_caption(atlas: AtlasLike) -> str:
    """The caption of ``line_attractors``."""
    lines = table(atlas, "line_attractors", "context_integration")
    smallest = min(atlas.study.population.units)
    share = 100 * lines["line_share"].median()
    return (
        "In each context the state of least speed is sought at "
        f"{atlas.study.analysis.manifold_points} values of the output. Left: the sorted moduli of the eigenvalues "
        "there. Middle: the output half a trial after a unit of the cued input, from the linear dynamics with only the "
        "largest modes kept; 1 is a perfect integral. Right: by how much the output drifts in one step where it is "
        f"held. Lines are means over the networks of {smallest} units, {smallest_lines(atlas)} in all; marks are "
        f"contexts of {count_of(lines['network'].nunique(), 'network')} of any size. Along the "
        f"line lies {share:.0f} % of the variance of its states (median)."
    )
