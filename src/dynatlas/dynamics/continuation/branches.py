"""Branches of fixed points along a parameter, and their bifurcations: the result of a continuation."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray

from dynatlas._util.arrays import ArrayLike
from dynatlas._util.display import Summary, SummaryRepr
from dynatlas._util.messages import count_of
from dynatlas.dynamics.continuation.corrector import correct
from dynatlas.dynamics.continuation.curve import Curve, curve_points
from dynatlas.dynamics.continuation.events import KINDS, Kind
from dynatlas.dynamics.continuation.index_sums import IndexSums, crossings_at
from dynatlas.dynamics.continuation.strands import Strand
from dynatlas.dynamics.continuation.tracing import SAME

# Degenerate points within this distance, relative to the length, are one.
SAME_DEGENERATE = 1e-4

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class Branch:
    """One branch: a curve of fixed points, from one end to the other.

    Attributes:
        parameters: [k].
        states: [k, n].
        tangents: unit vectors along the branch, of the state and of the place of the parameter, which is
            (p − start)/(stop − start) times ``Branches.length`` [k, n + 1].
        arc_length: from the first point, in the units of the state [k].
        eigenvalues: of J, by descending |λ| [k, n].
        n_unstable: eigenvalues with |λ| > 1 [k].
        index: sign det(I − J); 0 at folds and branch points [k].
        q: ½‖F(h) − h‖² [k].
        kinds: of the bifurcation that is located here, or "" [k].
        begin: where the branch begins.
        end: where it ends, and why.
        n_kinks: kinks of F at which the branch turned so sharply that it was begun again behind them.
    """

    parameters: NDArray[np.float64]
    states: NDArray[np.float64]
    tangents: NDArray[np.float64]
    arc_length: NDArray[np.float64]
    eigenvalues: NDArray[np.complex128]
    n_unstable: NDArray[np.int64]
    index: NDArray[np.int64]
    q: NDArray[np.float64]
    kinds: tuple[str, ...]
    begin: str
    end: str
    n_kinks: int

    def __len__(self) -> int:
        return len(self.parameters)


class Bifurcation(NamedTuple):
    """A bifurcation.

    Attributes:
        kind: "fold", "pitchfork", "transcritical", "flip" or "Neimark-Sacker"; "border collision", where stability or
            direction changes at a kink; "degenerate", where several eigenvalues are on the unit circle at once;
            "unresolved".
        parameter: where it is.
        state: the fixed point [n].
        eigenvalue: the critical one; of a pair the one with positive imaginary part.
        branches: the branches that pass it, begin or end there.
        residual: norm of the equations that define it.
        uncertainty: of the parameter.
        note: what is special about it, as a strong resonance.
    """

    kind: Kind
    parameter: float
    state: NDArray[np.float64]
    eigenvalue: complex
    branches: tuple[int, ...]
    residual: float
    uncertainty: float
    note: str


class Roots(NamedTuple):
    """The fixed points on the branches at one parameter.

    Attributes:
        states: [p, n].
        branch: the branch that each is on [p].
        n_unstable: eigenvalues with |λ| > 1 [p].
        indices: sign det(I − J) [p].
        q: ½‖F(h) − h‖² [p].
    """

    states: NDArray[np.float64]
    branch: NDArray[np.int64]
    n_unstable: NDArray[np.int64]
    indices: NDArray[np.int64]
    q: NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class Branches(SummaryRepr):
    """Branches of fixed points along a parameter.

    Attributes:
        branches: each followed once.
        bifurcations: sorted by parameter.
        of_points: for each given point, the branch that passes it; −1 if none was followed from it.
        index_sums: sums of the indices of all roots along the parameter. With a box, a sum other than 1 proves that a
            branch is missing; without one, the sums prove nothing.
        has_box: whether a box is known.
        start: the first value of the parameter.
        stop: its last value.
        length: the length that the interval of the parameter has in the arc length.
        notes: what went wrong, or is special: missing branches, degenerate points.
        curve: the equations.
        strands: the branches as they were followed.
    """

    branches: tuple[Branch, ...]
    bifurcations: tuple[Bifurcation, ...]
    of_points: NDArray[np.int64]
    index_sums: IndexSums
    has_box: bool
    start: float
    stop: float
    length: float
    notes: tuple[str, ...]
    curve: Curve
    strands: tuple[Strand, ...]

    def __len__(self) -> int:
        return len(self.branches)

    def at(self, parameter: float) -> Roots:
        """Return the fixed points on all branches at a parameter.

        Raises:
            ValueError: the parameter is outside the interval.
        """
        low, high = sorted((self.start, self.stop))
        if not low <= parameter <= high:
            raise ValueError(f"parameter is {parameter:g}; expected a value from {low:g} to {high:g}")
        n = self.branches[0].states.shape[1] if self.branches else 0
        place = min(self.curve.place(parameter), self.length * (1 - 1e-12))
        crossings = crossings_at(self.strands, place)
        if not crossings:
            none = np.zeros(0, int)
            return Roots(np.zeros((0, n)), none, none, none, np.zeros(0))
        borders = np.zeros((len(crossings), n + 1))
        borders[:, -1] = 1
        guesses = np.stack([crossing.guess for crossing in crossings])
        with jax.enable_x64(True):
            found = correct(self.curve, guesses, borders, np.full(len(crossings), place))
        points = curve_points(found.points, found.tangents, found.matrices, found.residuals)
        return Roots(
            found.points[:, :-1],
            np.array([crossing.branch for crossing in crossings]),
            np.array([point.n_unstable for point in points]),
            np.array([point.index for point in points]),
            0.5 * found.residuals**2,
        )

    def to_dataframe(self) -> "pd.DataFrame":
        """Return a row for each point of each branch; states and all eigenvalues are in ``branches``."""
        import pandas as pd

        parts = [
            pd.DataFrame(
                {
                    "branch": number,
                    "parameter": branch.parameters,
                    "arc_length": branch.arc_length,
                    "n_unstable": branch.n_unstable,
                    "index": branch.index,
                    "spectral_radius": np.abs(branch.eigenvalues[:, 0]),
                    "frequency": np.abs(np.angle(branch.eigenvalues[:, 0])) / (2 * np.pi),
                    "q": branch.q,
                    "bifurcation": branch.kinds,
                }
            )
            for number, branch in enumerate(self.branches)
        ]
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()

    def bifurcations_to_dataframe(self) -> "pd.DataFrame":
        """Return a row for each bifurcation, without its state."""
        import pandas as pd

        rows = [
            {
                "kind": each.kind,
                "parameter": each.parameter,
                "eigenvalue": each.eigenvalue,
                "frequency": abs(np.angle(each.eigenvalue)) / (2 * np.pi),
                "branches": ", ".join(map(str, each.branches)),
                "residual": each.residual,
                "uncertainty": each.uncertainty,
                "note": each.note,
            }
            for each in self.bifurcations
        ]
        names = ["kind", "parameter", "eigenvalue", "frequency", "branches", "residual", "uncertainty", "note"]
        return pd.DataFrame(rows, columns=names)

    def plot(self, readout: ArrayLike | Callable[[NDArray[np.float64]], ArrayLike] | None = None) -> "Figure":
        """Plot the branches against the parameter: stable parts solid, unstable ones dashed, bifurcations marked.

        Args:
            readout: weights [n], or a function of states [k, n], of what is drawn; by default the first principal
                component of all states.
        """
        from dynatlas.figures.dynamics.branches import branches_figure

        return branches_figure(self, readout)

    def _summary(self) -> Summary:
        kinds = Counter(each.kind for each in self.bifurcations)
        found = ", ".join(f"{kinds[kind]} {kind}" for kind in KINDS if kinds[kind])
        sums = self.index_sums
        wrong, values = int(sums.is_wrong.sum()), len(sums.sums)
        if not self.has_box:
            certificate = "not certifiable: no box is known that the map maps into itself"
        elif wrong:
            certificate = f"not 1 at {wrong} of {count_of(values, 'value')}"
        else:
            certificate = f"1 at {count_of(int((~sums.is_degenerate).sum()), 'value')}"
        return Summary(
            f"{count_of(len(self), 'branch', 'branches')} of fixed points from {self.start:g} to {self.stop:g}",
            (
                ("points", f"{sum(map(len, self.branches)):,}"),
                ("bifurcations", found or "none"),
                ("index sum", certificate),
                *(("note", note) for note in self.notes),
            ),
        )


def branch_of(curve: Curve, strand: Strand) -> Branch:
    """Return the arrays of a branch."""
    x = np.stack([point.x for point in strand.points])
    return Branch(
        parameters=curve.parameter(x[:, -1]),
        states=x[:, :-1],
        tangents=np.stack([point.tangent for point in strand.points]),
        arc_length=np.append(0.0, np.cumsum(np.linalg.norm(np.diff(x, axis=0), axis=1))),
        eigenvalues=np.stack([point.eigenvalues for point in strand.points]),
        n_unstable=np.array([point.n_unstable for point in strand.points]),
        index=np.array([point.index for point in strand.points]),
        q=np.array([0.5 * point.residual**2 for point in strand.points]),
        kinds=tuple(point.event for point in strand.points),
        begin=strand.begin.reason,
        end=strand.end.reason,
        n_kinks=strand.n_kinks,
    )


def bifurcations_of(curve: Curve, strands: list[Strand]) -> tuple[Bifurcation, ...]:
    """Return the bifurcations of all branches; a branch point is one, though several branches pass it."""
    found: list[Bifurcation] = []
    met: list[tuple[Kind, NDArray[np.float64]]] = []
    for number, strand in enumerate(strands):
        for event in strand.events:
            x = event.point.x
            # A degenerate point is less exactly known than one at which two branches cross.
            same = (SAME if len(event.tangents) else SAME_DEGENERATE) * float(curve.length)
            is_shared = bool(len(event.tangents)) or event.kind == "degenerate"
            if is_shared and any(kind == event.kind and np.linalg.norm(x - place) < same for kind, place in met):
                continue
            branches = [number]
            if is_shared:
                met.append((event.kind, x))
                branches = [
                    other
                    for other, strand in enumerate(strands)
                    if any(np.linalg.norm(x - place) < same for place in _special_places(strand))
                ]
            uncertainty = abs(float(curve.width)) / float(curve.length) * event.uncertainty
            found.append(
                Bifurcation(
                    event.kind,
                    float(curve.parameter(x[-1])),
                    x[:-1],
                    event.multiplier,
                    tuple(branches),
                    event.residual,
                    uncertainty,
                    event.note,
                )
            )
    return tuple(sorted(found, key=lambda each: (each.parameter, each.branches)))


def _special_places(strand: Strand) -> list[NDArray[np.float64]]:
    return [strand.begin.x, strand.end.x, *(event.point.x for event in strand.events)]
