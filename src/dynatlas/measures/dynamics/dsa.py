"""Dynamical similarity analysis: distance between the linear maps that step two networks' activity ahead."""

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Complex, Float

from dynatlas.measures.aspects import Aspect
from dynatlas.measures.dynamics.alignment import Shape, aligned_chords, chord_bound, shape_of
from dynatlas.measures.dynamics.regression import delay_embedding, one_step_map
from dynatlas.measures.measure import Measure, expected, no_similarity
from dynatlas.measures.pairs import Reduced
from dynatlas.measures.transport import transport_distances


@dataclass(frozen=True)
class DSA(Measure):
    """2-Wasserstein distance between the eigenvalues of the linear maps that step two networks' activity ahead.

    Each state is joined with those at the ``n_delays`` − 1 multiples of ``delay_interval`` before it. These embedded
    states are whitened, reduced to their ``rank`` leading principal components, and regressed on those one step before
    them, with the ridge ``lamb``; no step leads from one trial to the next. With ``reduced_rank_reg`` the ``rank``
    limits the map instead of the states, and the eigenvalues that remain are 0. The eigenvalues λ of the two maps, each
    with an equal share of its set, are at the distance

        W₂ = √(min over couplings π of Σ πᵢⱼ |λᵢ − μⱼ|²)

    by exact optimal transport. It compares how activity moves on, not where it is: the trials of two networks may be
    others, in other numbers.

    With ``score_method`` "angular" or "euclidean" the maps A and B, scaled to norm 1 and the smaller one padded with
    zeros, are aligned instead: the angle arccos(max over orthogonal C of ⟨A, C B Cᵀ⟩_F), or the least ‖A − C B Cᵀ‖_F.
    Ascents from ``starts`` starts, by default fewer in more dimensions, may miss the maximum; ``lower_bound`` states
    what no alignment can reach.

    A metric between spectra, from 0; between maps up to what the ascents miss. Unchanged by the order of trials,
    rotation and a common scale; at ``rank=None`` by any invertible linear map. A constant added to a unit changes it,
    as the regression has no intercept; ``centered=True`` first subtracts each unit's mean.

    Source: Ostrow et al. 2023. Names and defaults of settings are those of the package dsa-metric 2.0.2, which returns
    W₂², computes in single precision, keeps components of rounding, and aligns only maps of one size, from two starts.

    Example:
        >>> from dynatlas import distance
        >>> start = np.random.default_rng(0).normal(size=(8, 1, 2))
        >>> X, Y = (start * np.array(rates) ** np.arange(20)[:, None] for rates in ([0.9, 0.5], [0.8, 0.5]))
        >>> round(distance(X, Y, "dsa"), 6)  # √(0.1² / 2)
        0.070711
        >>> round(distance(X, X @ [[1.0, 2.0], [0.0, 3.0]], "dsa"), 6)  # the same dynamics, seen otherwise
        0.0
    """

    label: ClassVar[str] = "DSA"
    aspect: ClassVar[Aspect] = "dynamics"
    is_metric: ClassVar[bool] = True
    kept_components: ClassVar[float] = 0  # eigenvalues only
    needs_trials: ClassVar[bool] = True
    needs_same_samples: ClassVar[bool] = False
    n_delays: Any = 1
    delay_interval: Any = 1
    rank: Any = None
    reduced_rank_reg: Any = False
    lamb: Any = 1e-8
    centered: Any = False
    score_method: Any = "wasserstein"
    starts: Any = None

    def __post_init__(self) -> None:
        for option in ("n_delays", "delay_interval", "rank", "starts"):
            value = getattr(self, option)
            is_count = isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= 1
            is_optional = option in ("rank", "starts")
            or_none = ", or None" if is_optional else ""
            is_known = is_count or (is_optional and value is None)
            expected(option, value, f"a whole number of at least 1{or_none}", is_known)
        is_number = isinstance(self.lamb, Real) and 0 <= float(self.lamb) < np.inf
        expected("lamb", self.lamb, "a number of at least 0", is_number)
        known = ("wasserstein", "angular", "euclidean")
        expected(
            "score_method", self.score_method, "'wasserstein', 'angular' or 'euclidean'", self.score_method in known
        )
        for option in ("reduced_rank_reg", "centered"):
            expected(option, getattr(self, option), "True or False", isinstance(getattr(self, option), bool))

    @property
    def is_centred(self) -> bool:
        """Whether each unit's mean is subtracted first."""
        return bool(self.centered)

    @property
    def has_lower_bound(self) -> bool:
        """Alignments are sought; transport is exact."""
        return bool(self.score_method != "wasserstein")

    def reduce(self, activity: Float[np.ndarray, "trials steps units"]) -> Reduced:
        """Return the eigenvalues of the map, {"real": [k], "imaginary": [k]}; to align maps, a ``Shape``."""
        return self._reduced(activity, None)

    def _reduced(
        self,
        activity: Float[np.ndarray, "trials steps units"],
        inputs: Float[np.ndarray, "trials steps channels"] | None,
    ) -> Reduced:
        embedded = delay_embedding(activity, int(self.n_delays), int(self.delay_interval))
        rank = None if self.rank is None else int(self.rank)
        given = None if inputs is None else inputs[:, inputs.shape[1] - embedded.shape[1] :]
        found = one_step_map(embedded, rank, float(self.lamb), reduced_rank=self.reduced_rank_reg, inputs=given)
        if self.score_method != "wasserstein":
            return shape_of(found.matrix)._asdict()
        eigenvalues = found.eigenvalues()
        return {
            "real": np.ascontiguousarray(eigenvalues.real),  # files of tensors have no complex double precision
            "imaginary": np.ascontiguousarray(eigenvalues.imag),
        }

    def similarity(self, distance: float) -> float:
        """Return ⟨A, C B Cᵀ⟩_F of the aligned maps, of norm 1: the cosine of their angle, 1 − d²/2 of their chord."""
        if self.score_method == "wasserstein":
            raise no_similarity(self.title, 'score_method="wasserstein"', 'score_method="angular"')
        return float(np.cos(distance)) if self.score_method == "angular" else 1 - distance**2 / 2

    def between(self, first: Reduced, second: Reduced) -> float:
        """Compare two sets of eigenvalues, or align two maps."""
        return float(self.tile([first], [second])[0, 0])

    def lower_bound(self, first: Reduced, second: Reduced) -> float:
        """Return a number that the distance after the best of all alignments exceeds; W₂ itself, which is exact."""
        if self.score_method == "wasserstein":
            return self.between(first, second)
        width = max(len(first["matrix"]), len(second["matrix"]))
        shapes = (_widened([one], width)[0] for one in (first, second))
        return float(self._from_chords(np.array([chord_bound(*shapes)]))[0])

    def tile(self, firsts: Sequence[Reduced], seconds: Sequence[Reduced]) -> Float[np.ndarray, "firsts seconds"]:
        """Compare all pairs; what a network needs is computed once."""
        # Within one group of networks, each pair once.
        places = [(i, j) for i in range(len(firsts)) for j in range(i if firsts is seconds else len(seconds))]
        distances = np.zeros((len(firsts), len(seconds)))
        if places:
            rows, columns = np.transpose(places)
            distances[rows, columns] = self._of_pairs(firsts, seconds, places)
        return distances + distances.T if firsts is seconds else distances

    def _of_pairs(
        self, firsts: Sequence[Reduced], seconds: Sequence[Reduced], places: Sequence[tuple[int, int]]
    ) -> Float[np.ndarray, " pairs"]:
        if self.score_method == "wasserstein":
            spectra = [[_folded(one) for one in group] for group in (firsts, seconds)]
            return transport_distances([(spectra[0][i], spectra[1][j]) for i, j in places])
        chords = np.zeros(len(places))
        widths = [max(len(firsts[i]["matrix"]), len(seconds[j]["matrix"])) for i, j in places]
        for width in sorted(set(widths)):
            is_wide = np.equal(widths, width)
            rows, columns = (_widened(group, width) for group in (firsts, seconds))
            pairs = [(rows[i], columns[j]) for (i, j), is_one in zip(places, is_wide, strict=True) if is_one]
            chords[is_wide] = aligned_chords(pairs, None if self.starts is None else int(self.starts))
        return self._from_chords(chords)

    def _from_chords(self, chords: Float[np.ndarray, " pairs"]) -> Float[np.ndarray, " pairs"]:
        """Return the distances of maps of norm 1 from the norms of their differences."""
        return np.asarray(2 * np.arcsin(np.minimum(chords / 2, 1)) if self.score_method == "angular" else chords)


@dataclass(frozen=True)
class InputDSA(DSA):
    """``DSA`` of the maps A that are left when the inputs explain what they can: x(t + 1) ≈ A x(t) + B u(t + 1).

    u(t) are the inputs with which state t was reached, as a recurrent network takes them. A network that is shown slow
    inputs has slow activity; DSA takes that for its dynamics, and this measure does not, unless the inputs that act are
    not among those given, or act nonlinearly. It compares A alone; how networks take up inputs, B, is not compared.

    Settings, metric and invariances are those of ``DSA``.

    Source: Proctor, Brunton & Kutz 2016 (dynamic mode decomposition with control). The package dsa-metric has it as
    DMDc, with u(t) for u(t + 1), and with steps from one trial to the next; its class InputDSA identifies a subspace.

    Example:
        >>> from dynatlas import distance
        >>> random, gain = np.random.default_rng(0), 0.5
        >>> inputs = random.normal(size=(20, 1, 1)) * 0.9 ** np.arange(30)[:, None]
        >>> states = [random.normal(size=(20, 1))]
        >>> for now in range(1, 30):
        ...     states.append(gain * states[-1] + inputs[:, now])
        >>> X, Y = np.stack(states, axis=1), gain ** np.arange(30.0)[None, :, None]  # Y without inputs
        >>> round(distance(X, np.repeat(Y, 20, axis=0), "input_dsa", inputs=inputs), 6)
        0.0
    """

    label: ClassVar[str] = "InputDSA"
    needs_inputs: ClassVar[bool] = True

    def reduce(  # type: ignore[override]  # measures with needs_inputs take two arguments
        self, activity: Float[np.ndarray, "trials steps units"], inputs: Float[np.ndarray, "trials steps channels"]
    ) -> Reduced:
        """Return what ``DSA.reduce`` returns, of the map beside the inputs."""
        return self._reduced(activity, inputs)


def _widened(group: Sequence[Reduced], width: int) -> dict[int, Shape]:
    """Return the shapes of the maps of at most ``width`` dimensions, padded with zeros, by their place."""
    found = {}
    for place, one in enumerate(group):
        more = width - len(one["matrix"])
        if more == 0 and one.keys() == set(Shape._fields):
            found[place] = Shape(**one)
        elif more >= 0:  # with another width, or stored by an earlier version
            found[place] = shape_of(np.pad(one["matrix"], (0, more)))
    return found


def _folded(reduced: Reduced) -> Complex[np.ndarray, " k"]:
    """Return the eigenvalues, folded into the upper half plane, which changes no W₂ between spectra of real matrices.

    Folding brings no two points further apart, so that the distance cannot grow. Nor can it shrink: half of what a
    coupling of the folded sets moves can move above the real axis, and half of it below, at the same cost. Assignment
    is then faster by a quarter.
    """
    return np.asarray(reduced["real"] + 1j * np.abs(reduced["imaginary"]))
