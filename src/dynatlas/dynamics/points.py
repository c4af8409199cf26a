"""Fixed points and slow points that a search found: their properties, tables, files and figure."""

import json
from collections import Counter
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from dynatlas._util.arrays import ArrayLike
from dynatlas._util.display import Summary, SummaryRepr
from dynatlas.dynamics.completeness.verdict import Certificate
from dynatlas.dynamics.linearization import linearize
from dynatlas.dynamics.step import Step

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Facts about the search, beside the arrays that have a row for each point.
FACTS = ("certificate", "rejected", "n_starts", "reason", "cut")


class Coverage(NamedTuple):
    """Estimates of how many roots were missed.

    Attributes:
        share: Good–Turing estimate of the probability that a further start ends at a known root.
        expected: Chao's lower bound on the number of roots, including unseen ones.
    """

    share: float
    expected: float


@dataclass(frozen=True, eq=False, repr=False)
class FixedPoints(SummaryRepr):
    """The roots and slow points of one map under one static input.

    Roots come before slow points; each group is sorted by the number of unstable directions.

    Attributes:
        states: the points [p, n].
        q: ½‖F(h) − h‖² at exactly these points [p].
        is_slow: whether a point is a slow point rather than a root [p].
        n_unstable: eigenvalues of the Jacobian with |λ| > 1 [p].
        eigenvalues: of the Jacobian J = ∂F/∂h, by descending |λ| [p, n].
        index: sign det(I − J); 0 for slow points, for roots too close to degenerate to tell, and for roots on a kink
            around which the sign changes [p].
        newton_step: length of the Newton step at the point, with the gates divided out: a nearly closed gate scales
            both F(h) − h and J − I by 1 − gate, which makes q small but cancels in the step [p].
        on_kink: whether F has a kink within 1e-7 of the point, as where the input of a relu is 0; the Jacobian is then
            that of one side [p].
        hits: number of starts that ended at the point; 0 if only the enumeration of linear regions found it [p].
        index_sum: sum of the roots' indices.
        certificate: with a known box, "complete" (the sum is 1, the Morse graph closes, every root was reached more
            than once, and no budget was spent), "consistent" (the sum is 1), or "incomplete" (the sum is not 1, or a
            root is degenerate). Without a box, the same for a relu network that provably does not grow at infinity;
            "complete" if all its linear regions were examined; "supported" if the sum is the one that follows from its
            growth at infinity as far as this was found; otherwise "not certifiable".
        rejected: number of rejected starts, by reason.
        n_starts: number of starts, including those that the search added.
        reason: why the certificate is what it is, in words.
        cut: why the search ended before it was finished: a budget that was spent, or a continuum of roots; empty if it
            was not cut.
        step: the map and its static input; None for points that were read from a file.
    """

    states: NDArray[np.float64]
    q: NDArray[np.float64]
    is_slow: NDArray[np.bool_]
    n_unstable: NDArray[np.int64]
    eigenvalues: NDArray[np.complex128]
    index: NDArray[np.int64]
    newton_step: NDArray[np.float64]
    on_kink: NDArray[np.bool_]
    hits: NDArray[np.int64]
    certificate: Certificate
    rejected: dict[str, int]
    n_starts: int
    reason: str = ""
    cut: str = ""
    step: tuple[Step, NDArray[np.float64] | None] | None = field(default=None, repr=False)

    @property
    def index_sum(self) -> int:
        """Sum of the roots' indices."""
        return int(self.index.sum())

    @property
    def n_singletons(self) -> int:
        """Roots that only one start reached."""
        return int(((self.hits == 1) & ~self.is_slow).sum())

    @property
    def coverage(self) -> Coverage:
        """Estimates of how many roots were missed: a hint beside the certificate."""
        return coverage(self.hits[~self.is_slow])

    def __len__(self) -> int:
        return len(self.q)

    def roots(self) -> "FixedPoints":
        """Return the roots, without the slow points."""
        return self.take(np.flatnonzero(~self.is_slow))

    def take(self, order: ArrayLike) -> "FixedPoints":
        """Return the points at these indices, in this order."""
        indices = np.asarray(order, int)
        return replace(self, **{name: values[indices] for name, values in self._arrays().items()})

    def jacobians(self) -> NDArray[np.float64]:
        """Compute the Jacobians J = ∂F/∂h at all points [p, n, n].

        Raises:
            ValueError: the points were read from a file, which does not hold their map; use ``linearize``.
        """
        if self.step is None:
            raise ValueError(
                "these points were read from a file without their step; use linearize(step, states, inputs)"
            )
        step, inputs = self.step
        return linearize(step, self.states, inputs).jacobian

    def plot(self, readout: ArrayLike | None = None) -> "Figure":
        """Plot the points, coloured by their unstable directions.

        Args:
            readout: weights [2, n] of the axes; by default the first two principal components of the points.
        """
        from dynatlas.figures.dynamics.points import points_figure

        return points_figure(self, readout)

    def to_dataframe(self) -> pd.DataFrame:
        """Return a row for each point: all that is a number; states and spectra are in ``to_xarray``.

        Example:
            >>> import jax, jax.numpy as jnp
            >>> from dynatlas import find_fixed_points
            >>> points = find_fixed_points(lambda h, x: jnp.tanh(2 * h), np.linspace(-1, 1, 20)[:, None], box=(-1, 1))
            >>> points.to_dataframe()[["n_unstable", "index", "is_slow"]]
               n_unstable  index  is_slow
            0           0      1    False
            1           0      1    False
            2           1     -1    False
        """
        columns = {name: values for name, values in self._arrays().items() if values.ndim == 1}
        leading = np.abs(self.eigenvalues).max(axis=1, initial=0.0)
        return pd.DataFrame(columns | {"spectral_radius": leading})

    def to_xarray(self) -> xr.Dataset:
        """Return all arrays with the dimensions point and state; what is known of the search is in ``attrs``."""
        dims = {1: ("point",), 2: ("point", "state")}
        arrays = {name: (dims[values.ndim], values) for name, values in self._arrays().items()}
        return xr.Dataset(arrays, attrs=self._facts())

    def to_netcdf(self, path: str | Path, *, force: bool = False) -> None:
        """Write a NetCDF 3 file, which has no complex numbers: eigenvalues are real and imaginary parts.

        Raises:
            FileExistsError: the file exists, and ``force`` is False.
        """
        dataset = self.to_xarray()
        parts = {f"eigenvalues_{part}": getattr(dataset.eigenvalues, part) for part in ("real", "imag")}
        plain = dataset.drop_vars("eigenvalues").assign(parts)
        whole = {name: values.astype(np.int32) for name, values in plain.items() if values.dtype.kind in "bi"}
        _refuse_existing(path, force=force)
        plain.assign(whole).to_netcdf(path, engine="scipy")

    def save(self, path: str | Path, *, force: bool = False) -> None:
        """Write all arrays and facts to a ``.npz`` file, which ``FixedPoints.load`` reads.

        Raises:
            ValueError: the name does not end in .npz.
            FileExistsError: the file exists, and ``force`` is False.
        """
        if Path(path).suffix != ".npz":
            raise ValueError(f"{path} does not end in .npz")
        _refuse_existing(path, force=force)
        arrays: dict[str, Any] = {**self._arrays(), "facts": np.array(json.dumps(self._facts()))}
        np.savez_compressed(path, **arrays)

    @classmethod
    def load(cls, path: str | Path) -> "FixedPoints":
        """Read what ``save`` wrote; nothing in the file is executed.

        Raises:
            ValueError: the file holds no fixed points.
        """
        with np.load(path, allow_pickle=False) as file:
            expected = [each.name for each in fields(cls) if each.name not in (*FACTS, "step")]
            if missing := [name for name in (*expected, "facts") if name not in file]:
                raise ValueError(f"{path} has no {missing[0]}; expected a file that FixedPoints.save wrote")
            facts = json.loads(str(file["facts"]))
            facts["rejected"] = json.loads(facts["rejected"])
            return cls(**{name: file[name] for name in expected}, **facts)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the step out of copies for other processes: most functions cannot be pickled."""
        return self.__dict__ | {"step": None}

    def _arrays(self) -> dict[str, NDArray[Any]]:
        """Return everything with a row for each point."""
        named = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: values for name, values in named.items() if isinstance(values, np.ndarray)}

    def _facts(self) -> dict[str, str | int]:
        """Return what is known of the search, as texts and numbers."""
        facts = {name: getattr(self, name) for name in FACTS}
        return facts | {"rejected": json.dumps(self.rejected, sort_keys=True)}

    def _summary(self) -> Summary:
        roots = self.roots()
        by_instability = Counter(roots.n_unstable.tolist())
        counts = ", ".join(f"{count} with {n} unstable" for n, count in sorted(by_instability.items()))
        rejected = ", ".join(f"{count} {reason}" for reason, count in self.rejected.items() if count)
        return Summary(
            f"FixedPoints in {self.states.shape[1]} dimensions",
            (
                ("roots", f"{len(roots)}{f' ({counts})' if counts else ''}"),
                ("slow points", str(int(self.is_slow.sum()))),
                ("index sum", f"{self.index_sum}: {self.certificate}"),
                *((("because", self.reason),) if self.reason else ()),
                ("starts", f"{self.n_starts:,}; rejected: {rejected or 'none'}"),
            ),
        )


def coverage(hits: ArrayLike) -> Coverage:
    """Estimate how many roots were missed from how often each of S roots was hit.

    With N hits, f₁ roots hit once and f₂ hit twice: share 1 − f₁/N, expected S + f₁(f₁ − 1)/(2(f₂ + 1)). Both assume
    independent starts, which those added by the search are not: they are hints, not proofs.

    Example:
        >>> coverage([40, 31, 1, 1])
        Coverage(share=0.972..., expected=5.0)

    Source: Good 1953; Chao 1984, bias-corrected.
    """
    counts = np.asarray(hits)
    once, twice = int((counts == 1).sum()), int((counts == 2).sum())
    total = int(counts.sum())
    return Coverage(1 - once / total if total else 0.0, len(counts) + once * (once - 1) / (2 * (twice + 1)))


def _refuse_existing(path: str | Path, *, force: bool) -> None:
    if Path(path).exists() and not force:
        raise FileExistsError(f"{path} exists; pass force=True to replace it")
