"""How to read the figures of the paper: how many networks they show, who was left out and why."""

import math

from dynatlas.cards import count_of
from dynatlas.figures.captions import left_out_sentence, smallest_lines
from dynatlas.figures.paper.context_integration import TASK as INTEGRATION
from dynatlas.figures.paper.flip_flop import TASK as FLIP_FLOP
from dynatlas.figures.paper.measures import COMPARED, letters
from dynatlas.figures.paper.parts import not_studied
from dynatlas.figures.paper.sine_wave import TASK as SINE
from dynatlas.figures.paper.untrained import chosen_label, control_map, control_rows, reliability
from dynatlas.figures.reading import AtlasLike, Missing, map_facts, representatives, table, task_name, tasks
from dynatlas.figures.style import measure_label, variant_label
from dynatlas.figures.trajectories import MOST_STEPS, most_trials
from dynatlas.schema import aspect

# The rows of panel c of figure 4.
CONTROLS = {
    "trained": "between two trained networks",
    "shuffled time": "the same with each network’s samples in an order of its own, which leaves nothing in common",
    "untrained": "between two networks before training",
    "own untrained": "between a network and itself before training",
    "trained to untrained": "between a trained network and another one before training",
}


def flip_flop_caption(atlas: AtlasLike) -> str:
    """The caption of figure 1."""
    population = _population(atlas, FLIP_FLOP)
    geometry, topology = _measures(atlas, FLIP_FLOP)
    one = representatives(atlas, FLIP_FLOP)[0]
    settings = atlas.study.analysis
    return (
        f"Flip-flop, {population} a, a trial of the probe: input pulses, the target that remembers the last one of "
        f"each channel, and one network’s answer ({variant_label(one.architecture, one.activation)}). "
        f"b, {_trajectories(atlas, FLIP_FLOP)} c, {measure_label(geometry)} distances between networks, sorted by "
        f"architecture (outer bar) and activation (inner bar). d, metric MDS of these distances. "
        f"{_map(atlas, FLIP_FLOP, geometry)} e, fixed points of the network in a: left, in its state "
        "space, with their leading unstable directions; right, "
        "at the places of their readouts, with an arrow to each stable point that at least 2 % of "
        f"{settings.transition_trials} displaced states reach. f, metric MDS of the distances between "
        f"{measure_label(topology)}s. {_map(atlas, FLIP_FLOP, topology)}"
    )


def sine_wave_caption(atlas: AtlasLike) -> str:
    """The caption of figure 2."""
    population = _population(atlas, SINE)
    geometry, topology = _measures(atlas, SINE)
    one = representatives(atlas, SINE)[0]
    averaged = table(atlas, "frequencies")
    by_architecture = averaged[averaged["factor"] == "architecture"]
    counts = by_architecture.groupby("condition")["n_networks"].sum()
    n_averaged = f"{counts.min()}" if counts.min() == counts.max() else f"{counts.min()}–{counts.max()}"
    return (
        f"Sine wave, {population} a, a trial of the probe: the command, the sine that it asks for, and one network’s "
        f"answer ({variant_label(one.architecture, one.activation)}). b, {_trajectories(atlas, SINE)} c, metric MDS of "
        f"{measure_label(geometry)} distances. {_map(atlas, SINE, geometry)} d, the network in a: left, its fixed "
        "points, one search per command, coloured by their unstable directions; right, the eigenvalues at the point in "
        "the middle of each oscillation, near the leading pairs. Trajectories and eigenvalues are coloured by the "
        "command’s frequency; strokes on the unit circle stand at the frequencies asked for. "
        f"e, metric MDS of {measure_label(topology)} distances. {_map(atlas, SINE, topology)} f, frequency "
        "of the leading pair, |arg λ|/2π, against the one asked for: means over networks "
        f"(n = {n_averaged} per command) ± standard error; dashed, equality."
    )


def context_integration_caption(atlas: AtlasLike) -> str:
    """The caption of figure 3."""
    population = _population(atlas, INTEGRATION)
    geometry, topology = _measures(atlas, INTEGRATION)
    one = representatives(atlas, INTEGRATION)[0]
    task = atlas.study.task(INTEGRATION)
    return (
        f"Context-dependent integration, {population} a, a random trial, and the probe: constant levels of the cued "
        "stream without noise, coloured by level, and the answers of one network "
        f"({variant_label(one.architecture, one.activation)}) in the first context. "
        f"b, {_trajectories(atlas, INTEGRATION)} Marks are fixed and slow points; points "
        "further from the activity than its own range are not drawn but "
        f"counted. c, metric MDS of {measure_label(geometry)} distances. {_map(atlas, INTEGRATION, geometry)} "
        f"d, metric MDS of {measure_label(topology)} distances. {_map(atlas, INTEGRATION, topology)} e, moduli of "
        f"the eigenvalues along the line attractors ({atlas.study.analysis.manifold_points} points in each context), "
        f"by rank. f, the output {task.steps // 2} steps after a unit of the cued input, from the linear dynamics with "
        "only the largest modes kept; 1 is a perfect integral. The axis is linear up to 2 and logarithmic beyond. "
        f"e and f are means over the networks of {min(atlas.study.population.units)} units of each variant, "
        f"{smallest_lines(atlas)} together."
    )


def untrained_caption(atlas: AtlasLike) -> str:
    """The caption of figure 4."""
    measure = atlas.study.analysis.measures[0]
    mapped, compared, reliabilities, shown = [], [], [], set()
    lacking: list[Missing] = []
    for task in tasks(atlas):
        name = task_name(atlas.study, task)
        try:
            rows = control_rows(atlas, task, measure)
        except Missing as missing:
            lacking.append(missing)
            compared.append(f"{name} none")
        else:
            shown |= set(rows["control"])
            compared.append(f"{name} {int(rows['n_networks'].iloc[0])}")
            known = reliability(atlas, task, measure)
            if not math.isnan(known):
                reliabilities.append(f"{name} {known:.2f}")
        try:
            mapped.append(f"{name} {len(control_map(atlas, task, measure)) // 2}")
        except Missing:
            mapped.append(f"{name} none")
    if not shown:
        raise lacking[0]
    meanings = "; ".join(f"“{control}”, {meaning}" for control, meaning in CONTROLS.items() if control in shown)
    reliable = (
        " Distances from the even trials of the probe predict those from the odd ones with these reliabilities: "
        f"{'; '.join(reliabilities)}."
    )
    return (
        f"{chosen_label(atlas)} networks before and after training, an even selection of those that passed "
        f"({'; '.join(mapped)}). a, metric MDS of the {measure_label(measure)} distances between all of them, trained "
        "and untrained. b, these distances. c, mean distances of networks of all architectures "
        f"({'; '.join(compared)}), with 95 % intervals over networks: {meanings}.{reliable if reliabilities else ''}"
    )


def errors_caption(atlas: AtlasLike) -> str:
    """The caption of appendix C."""
    networks = table(atlas, "networks")
    return (
        f"Error on held-out trials of all {count_of(len(networks), 'trained network')}, on a logarithmic scale: lower "
        "is better. Networks beyond the dashed threshold of their task are left out of all analyses; errors that are "
        f"not finite are counted in words. {left_out_sentence(networks)}"
    )


def measures_caption(atlas: AtlasLike) -> str:
    """The caption of appendix E."""
    parts = []
    for letter, task in zip(letters(), tasks(atlas), strict=False):
        facts = [(measure, map_facts(atlas, task, measure)) for measure in COMPARED]
        said = "; ".join(
            f"{measure_label(measure)}: n = {row['n_networks']}, stress {row['stress']:.2f}"
            for measure, row in facts
            if row is not None
        )
        parts.append(f"{letter}, {task_name(atlas.study, task)} ({said or 'no map'})")
    names = " and ".join(measure_label(measure) for measure in COMPARED)
    return (
        f"The same networks compared by {names}. {'; '.join(parts)}. Above, distances between networks, sorted by "
        "architecture (outer bar) and activation (inner bar); below, metric MDS of each matrix, coloured by "
        f"architecture and by activation. {left_out_sentence(table(atlas, 'networks'))}"
    )


def _population(atlas: AtlasLike, task: str) -> str:
    """How many networks, and who was left out; for a sentence that began with the task."""
    if task not in tasks(atlas):
        raise Missing(not_studied(atlas, task))
    networks = table(atlas, "networks", task)
    passed = int(networks["passed"].sum())
    return f"{passed:,} of {count_of(len(networks), 'trained network')}. {left_out_sentence(networks)}"


def _measures(atlas: AtlasLike, task: str) -> tuple[str, str]:
    """What the maps compare: of geometry, of topology."""
    return atlas.study.analysis.measures[0], atlas.study.task(task).topology[0]


def _map(atlas: AtlasLike, task: str, measure: str) -> str:
    """How many networks a map shows, and how well."""
    facts = map_facts(atlas, task, measure)
    if facts is None:
        return "This map is not in this atlas."
    left_out = f"; {facts['n_left_out']} left out: {facts['left_out_reason']}" if facts["n_left_out"] else ""
    same = "; networks alike in it coincide" if aspect(measure) == "topology" else ""
    return f"(n = {facts['n_networks']}, stress {facts['stress']:.2f}{left_out}{same}.)"


def _trajectories(atlas: AtlasLike, task: str) -> str:
    """What is drawn of one network of each variant."""
    chosen = representatives(atlas, task)
    steps = f", the last {MOST_STEPS} steps of each" if atlas.study.task(task).steps > MOST_STEPS else ""
    return (
        f"{count_of(len(chosen), 'network')}, one per variant, in the first three principal components of its own "
        f"probe activity, each scaled to its range (at most {most_trials(atlas, task)} trials{steps}; percentages: "
        "shares of the variance)."
    )
