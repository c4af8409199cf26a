"""The linear map that takes delay-embedded activity one step ahead (HAVOK dynamic mode decomposition)."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Complex, Float

from dynatlas.measures.activity import on_unit_scale, orthonormal, principal_axes


class Map(NamedTuple):
    """A linear map in the coordinates of the leading principal components, each scaled to norm 1 over samples.

    Attributes:
        matrix: v(t + 1) ≈ v(t) A.
        image: orthonormal basis of its image, if its rank is limited.
    """

    matrix: Float[np.ndarray, "k k"]
    image: Float[np.ndarray, "k rank"] | None = None

    def eigenvalues(self) -> Complex[np.ndarray, " k"]:
        """Return the eigenvalues, exactly 0 beyond the rank."""
        if self.image is None:
            return np.linalg.eigvals(self.matrix).astype(np.complex128)
        # A W Wᵀ has the eigenvalues of Wᵀ A W, and zeros.
        values = np.linalg.eigvals(self.image.T @ self.matrix @ self.image)
        return np.append(values, np.zeros(len(self.matrix) - len(values))).astype(np.complex128)


def delay_embedding(
    activity: Float[np.ndarray, "trials steps units"], n_delays: int, delay_interval: int
) -> Float[np.ndarray, "trials fewer_steps delays_times_units"]:
    """Join each state and the states before it, the newest first.

    Raises:
        ValueError: the trials are too short for two embedded states.

    Example:
        >>> delay_embedding(np.arange(5.0)[None, :, None], n_delays=2, delay_interval=2)[0].tolist()
        [[2.0, 0.0], [3.0, 1.0], [4.0, 2.0]]
    """
    span, steps = (n_delays - 1) * delay_interval, activity.shape[1]
    if steps < span + 2:
        raise ValueError(
            f"trials of {steps} steps are too short for n_delays={n_delays} at delay_interval={delay_interval}; "
            f"expected at least {span + 2} steps"
        )
    starts = span - delay_interval * np.arange(n_delays)
    return np.concatenate([activity[:, start : start + steps - span] for start in starts], axis=-1)


def one_step_map(
    embedded: Float[np.ndarray, "trials steps dimensions"],
    rank: int | None,
    lamb: float,
    *,
    reduced_rank: bool,
    inputs: Float[np.ndarray, "trials steps channels"] | None = None,
) -> Map:
    """Regress embedded states on those one step before, by a ridge in whitened coordinates.

    With V [samples, r] the left singular vectors of the embedded states, and V₋, V₊ its rows before and after each
    step, A = (V₋ᵀV₋ + λI)⁻¹ V₋ᵀV₊ of the first ``rank`` columns of V (principal component regression). With
    ``reduced_rank``, A P of all columns, where P projects on the ``rank`` leading eigenvectors of V₊ᵀV₋A (reduced-rank
    regression). V omits components of rounding. With ``inputs`` U, what the inputs of the later step explain of V₋ and
    V₊ is subtracted first, so that A is the one of V₊ ≈ V₋ A + U B (Frisch & Waugh 1933).

    Args:
        embedded: states of every trial.
        rank: number of dimensions; None for all.
        lamb: λ.
        reduced_rank: whether the rank limits the map rather than the states.
        inputs: those with which each embedded state was reached.

    Raises:
        ValueError: fewer steps than dimensions, or without a ridge no unique map.
    """
    samples = on_unit_scale(embedded.reshape(-1, embedded.shape[-1]))
    coordinates = orthonormal(samples @ principal_axes(samples)[1])
    if rank is not None and not reduced_rank:
        coordinates = coordinates[:, :rank]
    dimensions = coordinates.shape[1]
    of_trials = coordinates.reshape(*embedded.shape[:2], dimensions)
    before, after = (part.reshape(-1, dimensions) for part in (of_trials[:, :-1], of_trials[:, 1:]))
    n_inputs = 0
    if inputs is not None:
        driving = inputs[:, 1:].reshape(len(before), -1)
        basis = orthonormal(driving @ principal_axes(driving)[1])
        before, after = (part - basis @ (basis.T @ part) for part in (before, after))
        n_inputs = basis.shape[1]
    if len(before) <= dimensions + n_inputs:
        raise ValueError(
            f"{len(before)} steps cannot determine a map between {dimensions} dimensions; give more trials, a smaller "
            "rank= or fewer n_delays"
        )
    crossed = before.T @ after
    try:
        matrix = np.linalg.solve(before.T @ before + lamb * np.eye(dimensions), crossed)
    except np.linalg.LinAlgError as error:
        raise ValueError(
            f"the states before each step span less than {dimensions} dimensions; give a ridge, lamb= above 0, or a "
            "smaller rank="
        ) from error
    if rank is None or not reduced_rank or rank >= dimensions:
        return Map(matrix)
    leading = np.linalg.eigh(crossed.T @ matrix)[1][:, ::-1][:, :rank]
    return Map(matrix @ leading @ leading.T, leading)
