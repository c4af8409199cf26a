"""Schema of an atlas: the columns of every table and the dimensions of every array.

Each is declared once and checked on writing. The report and the figures rely on it.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from dynatlas._util.messages import did_you_mean, listed
from dynatlas.measures.aspects import ASPECTS
from dynatlas.measures.findings import FINDING_MEASURES
from dynatlas.study.factors import Factor
from dynatlas.study.study import Study

NEAR_ONE: Final = 0.95  # a mode of larger |λ| loses less than half in a dozen steps
NAN: Final = float("nan")  # a number that earlier versions did not compute


class Column(NamedTuple):
    """One column of a table.

    Attributes:
        type: its Arrow type.
        meaning: what it means.
        before: its value in tables of earlier versions, which lack it; None if all have it.
    """

    type: str
    meaning: str
    before: str | float | None = None


# The factors of a configuration, shared by its seeds.
CONFIGURATION: Final = {
    "task": Column("string", "the name of its task in the study, by default its kind"),
    "architecture": Column("string", "the cell: vanilla, ugrnn, gru, lstm, …"),
    "activation": Column("string", "the activation function: tanh, relu, …"),
    "units": Column("int64", "hidden units"),
    "l2": Column("float64", "L2 penalty on all parameters"),
}

# The distance matrix that a row belongs to.
MATRIX: Final = {
    "task": Column("string", "the task"),
    "measure": Column("string", f"svcca, cka, …, {listed(FINDING_MEASURES, 'or')}"),
}

# The network and the iteration that a row about its training belongs to.
SNAPSHOT: Final = {
    "network": Column("string", "the member's id"),
    "task": Column("string", "its task"),
    "iteration": Column("int64", "iterations done; 0: before training"),
}

TABLES: Final[dict[str, dict[str, Column]]] = {
    # One row per network of the study, in the study's order.
    "networks": {
        "network": Column("string", "the member's id: a hash of everything that decides its weights"),
        "name": Column("string", "readable name"),
        **CONFIGURATION,
        "seed": Column("int64", "seed within its configuration"),
        "optimizer": Column("string", "sgd or adam"),
        "iterations": Column("int64", "training iterations set in the study"),
        "batch_size": Column("int64", "trials per iteration"),
        "learning_rate": Column("float64", "initial learning rate"),
        "decay_rate": Column("float64", "factor on the learning rate per decay_steps"),
        "decay_steps": Column("int64", "iterations per factor of decay_rate"),
        "momentum": Column("float64", "momentum (sgd only)"),
        "clip_norm": Column("float64", "bound on the gradient's global norm"),
        "input_noise": Column("float64", "standard deviation of noise on inputs, in training", before=0.0),
        "recurrent_noise": Column("float64", "standard deviation of noise of hidden units, in training", before=0.0),
        "rate_penalty": Column("float64", "penalty on the mean square of rates", before=0.0),
        "rate_change_penalty": Column("float64", "penalty on the mean square of their change a step", before=0.0),
        "mse": Column("float64", "mean squared error on held-out trials by the task's weights, without penalties"),
        "r2": Column("float64", "1 − mse / variance of the targets, on the same trials, by the same weights"),
        "diverged_at": Column("int64", "iteration at which loss or gradient stopped being finite, or −1"),
        "passed": Column("bool", "whether it meets its task's threshold and is analysed"),
        "reason": Column("string", "why it is left out of analyses; empty if it passed"),
    },
    # One row per network that learned its task and variation of the task.
    "behavior": {
        "network": Column("string", "the member's id"),
        "task": Column("string", "its task"),
        "variation": Column("string", 'name of the variation; "as it is" is the task as it stands in the study'),
        "mse": Column("float64", "mean squared error on trials of the variation, by the task's weights"),
        "error": Column("float64", "mse as a share of the variance of the targets, 1 − R²; infinite: it diverged"),
    },
    # One row per network that learned its task: numbers that describe its activity on the probe.
    "activity": {
        "network": Column("string", "the member's id"),
        "task": Column("string", "its task"),
        "participation_ratio": Column("float64", "(Σ v)² / Σ v² of the variances v of principal components"),
        "intrinsic_dimension": Column("float64", "dimension by the two nearest neighbours of each sample"),
        "explained_share": Column("float64", "share of the units' variance that inputs and targets explain linearly"),
        "selectivity": Column("float64", "share of that which the best single one explains, mean over units"),
    },
    # One row per network and validation point of its training.
    "losses": {
        "network": Column("string", "the member's id"),
        "iteration": Column("int64", "iterations done"),
        "training_loss": Column("float64", "mean of loss (MSE + L2) over the iterations since the last row"),
        "validation_mse": Column("float64", "MSE on the held-out trials"),
    },
    # One row per sample of a hyperparameter search, in the order in which they were drawn.
    "samples": {
        **CONFIGURATION,
        "sample": Column("int64", "number of the sample within its configuration"),
        "learning_rate": Column("float64", "initial learning rate"),
        "decay_rate": Column("float64", "factor on the learning rate per decay_steps"),
        "momentum": Column("float64", "momentum (sgd only)"),
        "clip_norm": Column("float64", "bound on the gradient's global norm"),
        "optimizer": Column("string", "sgd or adam"),
        "iterations": Column("int64", "iterations trained"),
        "mse": Column("float64", "validation error after them"),
        "r2": Column("float64", "1 − mse / variance of the targets"),
        "diverged_at": Column("int64", "iteration at which loss or gradient stopped being finite, or −1"),
        "chosen": Column("bool", "whether the seeds of the configuration are trained with it"),
    },
    # One row per sample and validation point.
    "sample_losses": {
        **CONFIGURATION,
        "sample": Column("int64", "number of the sample within its configuration"),
        "iteration": Column("int64", "iterations done"),
        "training_loss": Column("float64", "mean of loss (MSE + L2) over the iterations since the last row"),
        "validation_mse": Column("float64", "MSE on the held-out trials"),
    },
    # One row per tuned shape and number of lanes tried.
    "mappings": {
        **{name: column for name, column in CONFIGURATION.items() if name != "l2"},
        "device": Column("string", "device of the measurement"),
        "machine": Column("string", "name of the machine"),
        "lanes": Column("int64", "networks computed side by side"),
        "compile_seconds": Column("float64", "time to compile"),
        "iterations_per_second": Column("float64", "iterations per second, summed over networks"),
        "chosen": Column("bool", "whether the shape is trained with these lanes"),
    },
    # One row per network and measure by which all networks are reduced to one number of components: the largest of
    # these, which is stored with the distances.
    "components": {
        "network": Column("string", "the member's id"),
        "task": Column("string", "its task"),
        "measure": Column("string", "the measure: svcca"),
        "n_components": Column("int64", "principal components that hold the asked share of the network's variance"),
    },
    # One row per network of which snapshots are kept, and iteration.
    "snapshots": {
        **SNAPSHOT,
        "mse": Column("float64", "mean squared error on held-out trials, as in networks"),
        "r2": Column("float64", "1 − mse / variance of the targets"),
    },
    # One row per snapshot, measure of activity and network: distances to the trained networks of the task.
    "snapshot_distances": {
        **SNAPSHOT,
        "measure": Column("string", "the measure: svcca, cka, …"),
        "to_end": Column("float64", "distance to the same network after its training; NaN: activity is constant"),
        "to_others": Column("float64", "mean distance to the other trained networks of the task"),
        "nearest": Column("string", "id of the nearest trained network"),
        "x": Column("float64", "place on the map of the trained networks, as in embeddings"),
        "y": Column("float64", "second coordinate"),
        "misfit": Column("float64", "disagreement of the distances on the map with the true ones, like its stress"),
    },
    # One row per network and condition: the result of its fixed-point search.
    "searches": {
        "network": Column("string", "the member's id"),
        "task": Column("string", "its task"),
        "condition": Column("int64", "number of the static input"),
        "condition_name": Column("string", "name of the static input"),
        "n_roots": Column("int64", "true fixed points found"),
        "n_stable": Column("int64", "roots without unstable direction"),
        "n_slow": Column("int64", "slow points: local minima of q that are not roots"),
        "index_sum": Column("int64", "sum of the roots' indices; 1 if none is missing (tanh; relu: see the reason)"),
        "certificate": Column("string", "complete, consistent, supported, incomplete or not certifiable"),
        "certificate_reason": Column("string", "why, in words", before="the index sum alone, by an earlier version"),
        "cut": Column("string", "why the search ended early: a budget, a continuum of roots; empty: no", before=""),
        "n_starts": Column("int64", "starts used, including those that the search added"),
        "n_singletons": Column("int64", "roots reached from one start only: a hint that more are unseen"),
        "coverage": Column("float64", "Good–Turing's estimate that a further start ends at a root already found"),
        "expected_roots": Column("float64", "Chao's lower bound on the number of roots, unseen ones included"),
        "n_on_kink": Column("int64", "roots at which the map has a kink (relu)"),
        "rejected": Column("string", "JSON object: reason → number of starts rejected for it"),
    },
    # One row per fixed or slow point, in the canonical order of its network and condition.
    "fixed_points": {
        "network": Column("string", "the member's id"),
        "task": Column("string", "its task"),
        "condition": Column("int64", "number of the static input"),
        "point": Column("int64", "number of the point within network and condition"),
        "q": Column("float64", "½‖F(h) − h‖² at the point"),
        "is_slow": Column("bool", "a slow point, not a root"),
        "n_unstable": Column("int64", "eigenvalues of the Jacobian outside the unit circle"),
        "index": Column("int64", "sign det(I − J); 0 for a slow point"),
        "hits": Column("int64", "starts that ended there"),
        "spectral_radius": Column("float64", "largest |λ|"),
        "leading_angle": Column("float64", "arg λ of the largest eigenvalue, in [0, π]"),
        "time_constant": Column("float64", "1/|ln|λ|| of the largest eigenvalue, in steps"),
        "newton_step": Column("float64", "length of the Newton step, with the gates divided out"),
        "on_kink": Column("bool", "whether the map has a kink at the point (relu)"),
        "unique_radius": Column("float64", "within it the root is proven alone (numerically); 0: nothing is proven"),
        "root_error": Column("float64", "bound on the distance to the exact root; infinite: nothing is proven"),
        "non_normality": Column("float64", "Henrici's departure from normality of the Jacobian, 0 to 1"),
        "eigenbasis_condition": Column("float64", "condition number of the Jacobian's eigenvectors"),
        "readout": Column("list<float64>", "output at the point"),
    },
    # One row per nonzero edge of a network's transition graph; nodes are numbered as in fixed_points.
    "transitions": {
        "network": Column("string", "the member's id"),
        "source": Column("int64", "point left"),
        "target": Column("int64", "stable point reached"),
        "probability": Column("float64", "share of displaced starts that end there"),
    },
    # One row per network and displacement: the sensitivity of the transition graph to it.
    "transition_sensitivity": {
        "network": Column("string", "the member's id"),
        "scale": Column("float64", "displacement, as a share of the distance to the nearest point"),
        "distance": Column("float64", "Frobenius distance to the graph at the study's scale"),
        "lost": Column("float64", "share of displaced starts that settled at no stable point"),
    },
    # One row per network and condition: the attractor reached after a trial.
    "attractors": {
        "network": Column("string", "the member's id"),
        "task": Column("string", "its task"),
        "condition": Column("int64", "number of the static input"),
        "kind": Column("string", "fixed point, closed orbit, invariant curve, chaos, unsettled or diverges"),
        "period": Column("int64", "steps after which the states repeat; 0 if they do not"),
        "rotation_number": Column("float64", "turns per step; NaN without a rotation"),
        "amplitude": Column("float64", "root mean square distance of the states from their mean"),
        "output_amplitude": Column("float64", "half the range of the first output"),
        "exponent_1": Column("float64", "largest Lyapunov exponent, per step"),
        "exponent_2": Column("float64", "second largest; NaN if there is none"),
    },
    # One row per network, condition and stable root, of conditions with at least two; only with the measure robustness.
    "robustness": {
        "network": Column("string", "the member's id"),
        "task": Column("string", "its task"),
        "condition": Column("int64", "number of the static input"),
        "point": Column("int64", "the stable root, as in fixed_points"),
        "probe_share": Column("float64", "share of 1,000 states of the probe that the map leads there"),
        "probe_low": Column("float64", "lower end of a 95 % interval"),
        "probe_high": Column("float64", "upper end"),
        "box_share": Column("float64", "that of 1,000 states drawn uniformly in the box; NaN without a bounded box"),
        "box_low": Column("float64", "lower end"),
        "box_high": Column("float64", "upper end"),
        "size": Column("float64", "length of the smallest perturbation found that leaves: an upper bound"),
        "relative_size": Column("float64", "as a share of the distance to the nearest other stable root"),
        "destination": Column("int64", "stable root that the perturbed state goes to; −1: none of them"),
        "saddle": Column("int64", "root that the state on the boundary goes to; −1: none of them"),
        "angle": Column("float64", "between the perturbation and the boundary's normal, in radians; 0 at a minimum"),
        "lower_bound": Column("float64", "radius of a ball proven (numerically) to lie in the basin; 0: none"),
    },
    # One row per network of the sine task and command.
    "oscillations": {
        "network": Column("string", "the member's id"),
        "condition": Column("int64", "number of the command"),
        "command": Column("float64", "the command"),
        "frequency": Column("float64", "commanded frequency, in cycles per step"),
        "point": Column("int64", "root in the middle of the oscillation, as in fixed_points; −1 if there is none"),
        "n_unstable": Column("int64", "unstable directions of that root"),
        "spectral_radius": Column("float64", "|λ| of its leading complex pair"),
        "linear_frequency": Column("float64", "|arg λ|/2π of that pair, in cycles per step"),
    },
    # One row per factor, level and command: frequencies averaged over networks.
    "frequencies": {
        "factor": Column("string", "architecture, activation, or another factor with several levels"),
        "level": Column("string", "its value"),
        "condition": Column("int64", "number of the command"),
        "frequency": Column("float64", "commanded frequency, in cycles per step"),
        "linear_frequency": Column("float64", "mean over networks, in cycles per step"),
        "linear_frequency_se": Column("float64", "its standard error"),
        "rotation_number": Column("float64", "mean over networks, in turns per step"),
        "rotation_number_se": Column("float64", "its standard error"),
        "n_networks": Column("int64", "networks with a linear frequency"),
    },
    # One row per network of the integration task and context: the slow manifold that holds the sum, and the linear
    # dynamics around the fixed and slow points at outputs that the probe reaches, each weighted by the share of the
    # probe's states to which it is the nearest. Earlier versions averaged over the manifold's states instead.
    "line_attractors": {
        "network": Column("string", "the member's id"),
        "condition": Column("int64", "number of the context"),
        "condition_name": Column("string", "its name"),
        "low": Column("float64", "least output at which the manifold was sampled"),
        "high": Column("float64", "largest"),
        "q_max": Column("float64", "largest ½‖F(h) − h‖² along it"),
        "line_share": Column("float64", "share of its variance along one dimension"),
        "drift_share": Column("float64", "root mean square drift of the output per step, relative to its range"),
        "speed_share": Column("float64", "root mean square of ‖F(h) − h‖ along it, relative to its length", before=NAN),
        "held_range": Column(
            "float64",
            "extent of the probe's outputs a trial later without evidence, relative to before",
            before=NAN,
        ),
        "length_to_width": Column(
            "float64",
            "extent of the states by then, along it relative to across; read it where values are held",
            before=NAN,
        ),
        "n_points": Column("int64", "fixed and slow points of the linear dynamics; −1: made at its states", before=-1),
        "n_ill_conditioned": Column("int64", "points left out of modes and responses: eigenvectors not trusted"),
        "trusted_share": Column("float64", "share of the probe's states nearest to one of the others", before=NAN),
        "spectral_radius": Column("float64", "largest |λ|, mean over the points"),
        "modes_near_one": Column("float64", f"modes with |λ| > {NEAR_ONE:g}, median over the points", before=NAN),
        "selection_relevant": Column("float64", "alignment of the cued input with the leading left eigenvector"),
        "selection_irrelevant": Column("float64", "that of the other inputs, mean"),
        "response": Column(
            "float64", "output half a trial after a unit of the cued input, linearised, mean over the points; ideal 1"
        ),
        "response_median": Column("float64", "the same, median over the points", before=NAN),
        "response_first": Column("float64", "1 step after it, median"),
        "response_last": Column("float64", "a trial less 1 step after it, median"),
        "irrelevant_response": Column("float64", "that to the other inputs half a trial after, median; ideal 0"),
        "modes_needed": Column("int64", "modes from the largest that give 90 % of the response, median; −1: unknown"),
    },
    # One row per configuration of the integration task and rank: spectra at the points of the first context, averaged.
    "spectra": {
        **CONFIGURATION,
        "rank": Column("int64", "position of the eigenvalue by descending |λ|, from 0"),
        "modulus": Column("float64", "mean |λ| over networks"),
        "modulus_se": Column("float64", "its standard error over seeds"),
        "real": Column("float64", "mean Re λ over networks"),
        "real_se": Column("float64", "its standard error over seeds"),
        "n_networks": Column("int64", "networks averaged"),
    },
    # One row per network and map (an MDS of one distance matrix).
    "embeddings": {
        **MATRIX,
        "network": Column("string", "the member's id"),
        "x": Column("float64", "first MDS coordinate"),
        "y": Column("float64", "second MDS coordinate"),
    },
    # MDS in three dimensions: a separate map, not a third coordinate of the first.
    "embeddings_3d": {
        **MATRIX,
        "network": Column("string", "the member's id"),
        "x": Column("float64", "first MDS coordinate"),
        "y": Column("float64", "second MDS coordinate"),
        "z": Column("float64", "third MDS coordinate"),
    },
    # One row per distance matrix.
    "maps": {
        **MATRIX,
        "n_networks": Column("int64", "networks compared"),
        "n_left_out": Column("int64", "trained networks left out of this map"),
        "left_out_reason": Column("string", "why; empty if none"),
        "stress": Column("float64", "Kruskal's stress-1 of the map in two dimensions"),
        "stress_3d": Column("float64", "of the map in three"),
        "negative_share": Column("float64", "share of the negative eigenvalues: how far from Euclidean, 0 to 1"),
        "n_components": Column(
            "int64", "components that all networks were reduced to; 0: the measure has no such number", before=0
        ),
        "n_identical": Column("int64", "pairs of networks at distance 0; −1: not counted", before=-1),
        "gap_median": Column(
            "float64", "1 − lower bound / distance, median of 200 pairs; NaN: no search is needed", before=NAN
        ),
        "gap_largest": Column("float64", "the largest of these", before=NAN),
    },
    # One row per distance matrix, subset of its networks and testable factor, or "interactions": how much it separates
    # the networks. Low and high are the ends of 95 % intervals over networks; NaN with too few networks.
    "effects": {
        **MATRIX,
        "subset": Column(
            "string",
            "the networks: all; the paper's, tanh or vanilla; or those of a level, such as gain 0.5",
            before="all",
        ),
        "factor": Column("string", "a factor of the study, such as architecture; interactions"),
        "r2": Column("float64", "PERMANOVA R²: what the factor adds to the main effects of the others"),
        "r2_low": Column("float64", "lower end"),
        "r2_high": Column("float64", "upper end"),
        "r2_chance": Column("float64", "mean R² of the permutations"),
        "p": Column("float64", "permutation p of F₂, labels permuted within the other factors' strata"),
        "p_lower": Column("float64", "p of the lower tail: if small, no measure of difference", before=NAN),
        "p_adjusted": Column("float64", "p, corrected for the number of factors and interactions (Holm)"),
        "dispersion": Column("float64", "spread of the most dispersed level over that of the least", before=NAN),
        "dispersion_p": Column("float64", "permutation p of PERMDISP", before=NAN),
        "silhouette": Column("float64", "mean silhouette, −1 to 1; NaN for interactions"),
        "silhouette_low": Column("float64", "lower end"),
        "silhouette_high": Column("float64", "upper end"),
        "accuracy": Column("float64", "share of networks whose nearest other one has the same level"),
        "accuracy_low": Column("float64", "lower end"),
        "accuracy_high": Column("float64", "upper end"),
        "accuracy_chance": Column("float64", "mean accuracy of the permutations"),
        "accuracy_p": Column("float64", "permutation p of the accuracy"),
        "n_networks": Column("int64", "networks compared"),
    },
    # One row per distance matrix, factor and level, and one of all networks: distances between networks that differ in
    # nothing but the seed.
    "spread": {
        **MATRIX,
        "factor": Column("string", "a factor with several levels, or all"),
        "level": Column("string", "its level, or any"),
        "mean": Column("float64", "mean distance between networks that differ in the seed alone"),
        "low": Column("float64", "lower end of a 95 % interval over networks"),
        "high": Column("float64", "upper end"),
        "n_pairs": Column("int64", "pairs of networks"),
        "n_networks": Column("int64", "networks of these pairs"),
    },
    # One row per distance matrix and part of its variance: the parts of a matrix add up to 1, or are 0 if all its
    # distances are.
    "headline": {
        **MATRIX,
        "aspect": Column("string", listed(ASPECTS, "or")),
        "factor": Column("string", "a factor of the study, shared, interactions or seed"),
        "r2": Column("float64", "share of the variance between networks"),
        "r2_low": Column("float64", "lower end of a 95 % interval over networks"),
        "r2_high": Column("float64", "upper end"),
        "r2_chance": Column("float64", "as in effects; NaN where nothing is tested", before=NAN),
        "p_lower": Column("float64", "as in effects", before=NAN),
        "p_adjusted": Column("float64", "as in effects; NaN where nothing is tested"),
        "n_networks": Column("int64", "networks compared"),
    },
    # One row per task, measure of geometry and control: reference values for the distances.
    "controls": {
        **MATRIX,
        "control": Column("string", "which: see docs/comparing.md"),
        "value": Column("float64", "a mean distance, a correlation or a share"),
        "low": Column("float64", "lower end of a 95 % interval over networks"),
        "high": Column("float64", "upper end"),
        "n_networks": Column("int64", "networks it was made with"),
    },
    # One row per network of the controls and version of it: a map per architecture, trained and untrained.
    "control_embeddings": {
        **MATRIX,
        "architecture": Column("string", "whose map it is"),
        "network": Column("string", "the member's id"),
        "is_trained": Column("bool", "after its training, or before"),
        "x": Column("float64", "first MDS coordinate"),
        "y": Column("float64", "second MDS coordinate"),
        "stress": Column("float64", "Kruskal's stress-1 of the map"),
    },
    # One row per claim and matrix, task or group that it concerns.
    "claims": {
        "claim": Column("string", "its number, and a letter where a claim has parts"),
        "name": Column("string", "its short name"),
        "statement": Column("string", "what is claimed"),
        "task": Column("string", "the task it is tested on"),
        "verdict": Column("string", "holds, does not hold or not testable here"),
        "quantity": Column("string", "what the number is, and what is asked of it"),
        "value": Column("float64", "the number; NaN if there is none"),
        "low": Column("float64", "lower end of its 95 % interval; NaN if it has none"),
        "high": Column("float64", "upper end"),
        "source": Column("string", "the table rows or arrays it came from"),
        "note": Column("string", "what to know about it: what was left out, why it cannot be tested"),
        "p": Column("float64", "p-value of the test that decides; NaN if an interval does", before=NAN),
        "p_adjusted": Column("float64", "p, corrected for all tests of the table (Holm)", before=NAN),
    },
}

# The same of snapshots of networks.
TABLES["snapshot_searches"] = SNAPSHOT | TABLES["searches"]
TABLES["snapshot_points"] = SNAPSHOT | TABLES["fixed_points"]

# An effect with a smaller p counts as more than chance, everywhere.
SIGNIFICANT: Final = 0.05
# Spectra and responses of integration are shown of one context, as in the paper.
SHOWN_CONTEXT: Final = 0


def is_no_measure(r2: float, p_lower: float) -> bool:
    """Whether networks of one level differ more than those of different levels, or more than by chance.

    The distance is then no measure of difference between the levels; it does not show that a factor has no effect.
    """
    return bool(r2 < 0 or p_lower < SIGNIFICANT)


# Tables of which each matrix writes a part; the job of the controls writes OF_CONTROLS.
OF_CONTROLS: Final = ("controls", "control_embeddings")
OF_MATRICES: Final = ("embeddings", "embeddings_3d", "maps", "effects", "spread", "headline", *OF_CONTROLS)

# Tables of studies with [search], and of studies with [snapshots].
OF_SEARCHES: Final = ("samples", "sample_losses")
OF_SNAPSHOTS: Final = ("snapshots", "snapshot_distances", "snapshot_searches", "snapshot_points")


def tables_of(study: Study) -> tuple[str, ...]:
    """Return the tables that the atlas of a study has.

    Example:
        >>> set(TABLES) - set(tables_of(Study.load("demo"))) == {*OF_SEARCHES, *OF_SNAPSHOTS, "robustness"}
        True
    """
    others = {
        *(OF_SEARCHES if study.search is None else ()),
        *(OF_SNAPSHOTS if study.snapshots is None else ()),
        *(() if study.analysis.agreeing else ("components",)),
        *(() if study.analysis.compares_robustness else ("robustness",)),
    }
    return tuple(name for name in TABLES if name not in others)


def why_no_table(name: str, study: Study) -> str:
    """Return why the atlas of a study has no table of this name, in a sentence.

    Example:
        >>> why_no_table("snapshots", Study.load("demo"))
        "the study 'demo' makes no table 'snapshots'; it would with snapshots = 12"
        >>> why_no_table("behaviour", Study.load("demo"))
        "there is no table 'behaviour'; did you mean 'behavior'?"
    """
    if name not in TABLES:
        made = tables_of(study)
        all_of_them = f"there are {', '.join(made)}"
        return f"there is no table {name!r}; {did_you_mean(name, made, all_of_them)}"
    needs = dict.fromkeys(OF_SEARCHES, "a table [search]") | dict.fromkeys(OF_SNAPSHOTS, "snapshots = 12")
    needs |= {"robustness": "the measure robustness", "components": "the measure svcca"}
    return f"the study {study.name!r} makes no table {name!r}; it would with {needs[name]}"


# Tables with the columns of CONFIGURATION, which also have one for each further factor of their study.
_OF_CONFIGURATIONS: Final = ("networks", "samples", "sample_losses", "mappings", "spectra")


def columns(table: str, factors: Sequence[Factor] = ()) -> dict[str, Column]:
    """Return the columns of a table in a study with these further factors.

    Example:
        >>> gain = Factor("gain", "cells", "gain", (0.5, 1.5))
        >>> list(columns("spectra", [gain]))[4:8]
        ['l2', 'gain', 'rank', 'modulus']
    """
    declared = dict(TABLES[table])
    if table not in _OF_CONFIGURATIONS:
        return declared
    further = {
        factor.name: Column(factor.type, f"setting {factor.setting} of [{factor.table}], a factor of the study")
        for factor in factors
        if factor.name not in declared and (table != "mappings" or not factor.is_traced)
    }
    places = list(declared)
    after = max(places.index(name) for name in CONFIGURATION if name in declared) + 1
    return {name: declared[name] for name in places[:after]} | further | declared


# Group of arrays.zarr → variable → dimensions. ‹…› is a placeholder.
ARRAYS: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    # One group per task and measure; both network dimensions carry the ids.
    "distances/‹task›/‹measure›": {"distance": ("network", "other_network")},
    # The part of that matrix that one job computes.
    "tiles/‹task›/‹measure›/‹tile›": {"distance": ("network", "other_network")},
    # One group per task and measure of geometry: some trained networks, then the same networks before training.
    "controls/‹task›/‹measure›": {
        "distance": ("network", "other_network"),
        "is_trained": ("network",),
    },
    # One group per block; row i is the point point[i] of network[i] and condition[i] in the table fixed_points.
    "fixed_points/‹block›": {
        "states": ("row", "state"),
        "eigenvalues": ("row", "state"),
        "network": ("row",),
        "condition": ("row",),
        "point": ("row",),
    },
    # One group per block with snapshots; rows as in the table snapshot_points.
    "snapshot_points/‹block›": {
        "states": ("row", "state"),
        "eigenvalues": ("row", "state"),
        "network": ("row",),
        "iteration": ("row",),
        "condition": ("row",),
        "point": ("row",),
    },
    # One group per block of the integration task: the slow manifolds, a row per network and context. Modes are sorted
    # by descending |λ|; modulus, real and response are means over the fixed and slow points, as in the table, of the
    # sorted |λ| and Re λ and of the responses with the largest modes; the last is also given as a median.
    "line_attractors/‹block›": {
        "states": ("row", "point", "state"),
        "outputs": ("row", "point"),
        "modulus": ("row", "mode"),
        "real": ("row", "mode"),
        "response": ("row", "mode"),
        "response_median": ("row", "mode"),
        "network": ("row",),
        "condition": ("row",),
    },
    # One group per representative network (of each block and variant in pictures, the first that passed):
    # its probe trials and its fixed points in the space of its first three principal components.
    "trajectories/‹network›": {
        "trajectory": ("trial", "step", "component"),
        "variance_share": ("component",),
        "inputs": ("trial", "step", "input"),
        "targets": ("trial", "step", "output"),
        "outputs": ("trial", "step", "output"),
        # Rows as in the network's rows of the table fixed_points, all conditions, same order.
        "points": ("row", "component"),
        # Unit vector of the leading unstable direction, projected; NaN where the point is stable.
        "unstable_directions": ("row", "component"),
    },
    # One group per block: the same for each network that passed, with few trials and steps, for the page. Rows as in
    # fixed_points/‹block›; the dimension network carries the ids.
    "state_spaces/‹block›": {
        "trajectory": ("network", "trial", "step", "component"),
        "variance_share": ("network", "component"),
        "inputs": ("trial", "step", "input"),
        "points": ("row", "component"),
        "unstable_directions": ("row", "component"),
    },
}
