"""Claims about linearised dynamics: oscillation, integration, and trainability."""

from collections.abc import Iterator

from dynatlas.atlas.view import AtlasLike
from dynatlas.statistics.claims.verdicts import (
    DOES_NOT_HOLD,
    HOLDS,
    Finding,
    above,
    below,
    differs,
    mean_of,
    median_of,
    of_task,
    share_of,
    untestable,
)
from dynatlas.study.members import FACTORS

GATED = ("ugrnn", "gru", "lstm")
# Limits that stand for "most", "near" and "just over" in the claims.
MOST = 0.9  # share of cases
NEAR_FREQUENCY = 0.1  # relative error
NEAR_INTEGRAL = 0.2  # absolute error
SLIGHTLY = 1.2  # |λ|
NEAR_ONE = 0.95  # |λ| of a mode that decays by half in about a dozen steps


def one_oscillation(atlas: AtlasLike, task: str) -> Iterator[Finding]:
    """Oscillation: one fixed point per condition, with one complex pair just over |λ| = 1 near the target frequency."""
    searches = of_task(atlas, "searches", task)
    searches = searches.assign(one=(searches.n_roots == 1).astype(float))
    yield above(
        task, "share of commands with exactly one fixed point", *share_of(searches, "one"), MOST, "searches: n_roots"
    )
    rows = of_task(atlas, "oscillations", task)
    pair = (rows.n_unstable == 2) & (rows.spectral_radius > 1) & (rows.spectral_radius < SLIGHTLY)
    rows = rows.assign(pair=pair.astype(float), error=(rows.linear_frequency / rows.frequency - 1).abs())
    yield above(
        task,
        f"share of commands whose one unstable pair has |λ| in (1, {SLIGHTLY:g})",
        *share_of(rows, "pair"),
        MOST,
        "oscillations: n_unstable, spectral_radius",
    )
    yield below(
        task,
        "relative error of the linear frequency, median over commands and networks",
        *median_of(rows, "error"),
        NEAR_FREQUENCY,
        "oscillations: linear_frequency, frequency",
    )


def frequency_offsets(atlas: AtlasLike, task: str) -> Iterator[Finding]:
    """Oscillation: the linear frequency has small offsets that depend on architecture and activation."""
    rows = of_task(atlas, "oscillations", task)
    rows = rows.assign(offset=rows.linear_frequency / rows.frequency - 1)
    for factor in ("architecture", "activation"):
        offsets = rows.groupby(["network", *FACTORS]).offset.median().reset_index()
        quantity = f"relative frequency offset by {factor}"
        yield differs(task, quantity, offsets, "offset", factor, "oscillations: linear_frequency, frequency")


def line_attractors(atlas: AtlasLike, task: str) -> Iterator[Finding]:
    """Integration: the slow points of a context lie near a line."""
    rows = of_task(atlas, "line_attractors", task)
    yield above(
        task,
        "share of a slow manifold's variance along one dimension",
        *mean_of(rows, "line_share"),
        MOST,
        "line_attractors: line_share",
    )


def modes_of_integration(atlas: AtlasLike, task: str) -> Iterator[Finding]:
    """Integration: vanilla networks need one mode; gated ones have many eigenvalues near 1."""
    rows = of_task(atlas, "line_attractors", task)
    known = rows[(rows.modes_needed >= 0) & (rows.architecture == "vanilla")]
    one = known.assign(one=(known.modes_needed == 1).astype(float))
    yield above(
        task,
        "share of vanilla networks whose response needs one mode",
        *share_of(one, "one"),
        0.5,
        "line_attractors: modes_needed",
    )
    spectra = atlas.table("spectra")
    spectra = spectra[spectra.task == task]
    near = spectra[spectra.modulus > NEAR_ONE].groupby(list(FACTORS)).size()
    every = spectra.groupby(list(FACTORS)).size()
    counts = near.reindex(every.index, fill_value=0).reset_index(name="count")
    vanilla, gated = (counts[counts.architecture.isin(of)]["count"] for of in (("vanilla",), GATED))
    quantity = f"mean number of modes with |λ| > {NEAR_ONE:g} in gated networks; claimed: more than in vanilla ones"
    if not len(vanilla) or not len(gated):
        yield untestable(task, "needs vanilla and gated networks", quantity, "spectra: modulus")
        return
    yield Finding(
        task,
        HOLDS if gated.mean() > vanilla.mean() and gated.mean() > 1 else DOES_NOT_HOLD,
        quantity,
        float(gated.mean()),
        source="spectra: modulus",
        note=f"vanilla networks: {vanilla.mean():.3g}, mean over configurations of the averaged spectra",
    )


def unit_integral(atlas: AtlasLike, task: str) -> Iterator[Finding]:
    """Integration: the response to a unit input is near 1, with an offset that depends on the architecture."""
    rows = of_task(atlas, "line_attractors", task)
    rows = rows.assign(error=(rows.response - 1).abs())
    source = "line_attractors: response"
    quantity = "distance of the response to a unit of input from 1, median over networks"
    yield below(task, quantity, *median_of(rows, "error"), NEAR_INTEGRAL, source)
    responses = rows.groupby(["network", *FACTORS]).response.mean().reset_index()
    yield differs(task, "response by architecture", responses, "response", "architecture", source)


def relu_lstm_does_not_learn(atlas: AtlasLike, task: str) -> Iterator[Finding]:
    """Oscillation: no relu LSTM learns the task."""
    networks = atlas.table("networks")
    rows = networks[(networks.task == task) & (networks.architecture == "lstm") & (networks.activation == "relu")]
    if not len(rows):
        yield untestable(task, "the study has no relu LSTM on this task", source="networks: passed")
        return
    passed = int(rows.passed.sum())
    optimizers = "/".join(sorted(set(rows.optimizer)))
    yield Finding(
        task,
        HOLDS if passed == 0 else DOES_NOT_HOLD,
        "share of relu LSTMs that learn the task; claimed: none",
        passed / len(rows),
        source="networks: passed",
        note=f"{passed} of {len(rows)}, trained with {optimizers}, {atlas.study.task(task).steps} steps a trial",
    )
