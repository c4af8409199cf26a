"""Following branches: prediction, correction, control of the step, and why a branch ends."""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from dynatlas.dynamics.continuation.corrector import correct, evaluate
from dynatlas.dynamics.continuation.curve import Curve, CurvePoint, curve_points
from dynatlas.dynamics.continuation.events import Event, find_events
from dynatlas.dynamics.continuation.limits import Limits

# A step is accepted if the tangent turns by no more than about 20° and the correction is no longer than this share.
COSINE = 0.94
CORRECTION = 0.3
# It grows after steps that turned by less than about 6° and needed few factorisations.
GROWTH = 1.5
STRAIGHT = 0.995
FEW_ROUNDS = 3
FIRST_STEP = 0.25  # relative to the largest
# Below the first of these steps, relative to the length, a kink is crossed; below the second, the branch ends.
KINK_STEP = 1e-9
LEAST_STEP = 1e-11
ACROSS_KINK = 1e-7
BACK = 0.999  # cosine beyond which a branch does not turn at a kink, but would lead back along itself
# Points within this distance, relative to the length, are the same.
SAME = 1e-6
SAME_DIRECTION = 0.9
# So many points in a row with no more of a slope are a continuum of roots at one parameter.
CONTINUUM = 12
NO_SLOPE = 1e-12


@dataclass(frozen=True, eq=False)
class Seed:
    """Where a branch begins.

    Attributes:
        point: the point, with the tangent in the direction to follow.
        origin: "start" (of the interval), "branch point", or "search" (a root found inside the interval).
    """

    point: CurvePoint
    origin: str


@dataclass(eq=False)
class Trace:
    """A branch as it is followed.

    Attributes:
        seed: where it begins.
        points: its points, located bifurcations among them.
        size: the next step.
        events: its bifurcations.
        end: why it ended; empty while it is followed.
        has_end: whether it ended at a known place: the interval's end or a branch point.
        n_kinks: jumps of the Jacobian that the corrector could not step over.
        calm: accepted steps since the last refused one.
    """

    seed: Seed
    points: list[CurvePoint]
    size: float
    events: list[Event] = field(default_factory=list)
    end: str = ""
    has_end: bool = False
    n_kinks: int = 0
    calm: int = 0

    @property
    def last(self) -> CurvePoint:
        """The last point."""
        return self.points[-1]


def follow(
    curve: Curve,
    seeds: list[Seed],
    limits: Limits,
    crossings: list[NDArray[np.float64]],
    scale: float = 1.0,
) -> list[Trace]:
    """Follow branches side by side until each ends.

    Args:
        curve: G.
        seeds: where they begin.
        limits: the box, the largest step and the most points.
        crossings: branch points [n + 1] at which a branch ends, since all directions there are followed.
        scale: factor of the largest step.
    """
    largest = limits.largest_step * scale
    traces = [Trace(seed, [seed.point], largest * FIRST_STEP) for seed in seeds]
    active = list(traces)
    while active:
        _advance(curve, active, limits, crossings, largest)
        active = [trace for trace in active if not trace.end]
    return traces


def _advance(
    curve: Curve, traces: list[Trace], limits: Limits, crossings: list[NDArray[np.float64]], largest: float
) -> None:
    """Take one step on each branch, or shorten it."""
    length = float(curve.length)
    tangents = np.stack([trace.last.tangent for trace in traces])
    predicted = np.stack([_prediction(trace) for trace in traces])
    sizes = np.array([trace.size for trace in traces])
    offsets = np.array([trace.last.tangent @ trace.last.x for trace in traces]) + sizes
    found = correct(curve, predicted, tangents, offsets)
    cosines = (found.tangents * tangents).sum(axis=1)
    moved = np.linalg.norm(found.points - predicted, axis=1)
    accepted = found.converged & (cosines >= COSINE) & (moved <= CORRECTION * sizes)
    rows = np.flatnonzero(accepted)
    points = curve_points(found.points[rows], found.tangents[rows], found.matrices[rows], found.residuals[rows])
    following = dict(zip(rows.tolist(), points, strict=True))
    for row, trace in enumerate(traces):
        point = following.get(row)
        if point is not None and not 0 <= point.x[-1] <= length:
            point = _at_end(curve, trace, point)
        if point is None:
            _shorten(curve, trace, length)
            continue
        trace.calm += 1
        trace.size = min(trace.size, _largest(point, largest, length))
        if trace.calm > 1 and cosines[row] > STRAIGHT and found.rounds[row] <= FEW_ROUNDS:
            trace.size = min(GROWTH * trace.size, _largest(point, largest, length))
        _extend(curve, trace, point, limits, crossings)


def _largest(point: CurvePoint, largest: float, length: float) -> float:
    """Return the largest step: longer where states are larger than typical, but no further along the parameter."""
    size = float(np.linalg.norm(point.x[:-1])) / length
    return min(largest * max(1.0, size), largest / max(abs(point.slope), 1e-12))


def _prediction(trace: Trace) -> NDArray[np.float64]:
    """Return the next point by the tangent, and by how it turned in the last step."""
    last = trace.last
    straight = last.x + trace.size * last.tangent
    if len(trace.points) < 2 or trace.points[-2].event or last.event:
        return straight
    before = trace.points[-2]
    gap = float(np.linalg.norm(last.x - before.x))
    # Past a kink, or after a much shorter step, the turn is no guide.
    if gap < 0.2 * trace.size or before.tangent @ last.tangent < COSINE:
        return straight
    return np.asarray(straight + 0.5 * trace.size**2 / gap * (last.tangent - before.tangent))


def _at_end(curve: Curve, trace: Trace, outside: CurvePoint) -> CurvePoint | None:
    """Return the point of the branch at the end of the interval that the step passed, or None."""
    length = float(curve.length)
    last = trace.last
    target = length if outside.x[-1] > length else 0.0
    gap = outside.x - last.x
    if abs(gap[-1]) < 1e-12 * length or abs(last.x[-1] - target) < 1e-12 * length:
        return None
    border = np.zeros_like(gap)
    border[-1] = 1
    share = (target - last.x[-1]) / gap[-1]
    found = correct(curve, (last.x + share * gap)[None], border[None], np.array([target]))
    step = found.points[0] - last.x
    if not found.converged[0] or np.linalg.norm(step) > 1.5 * np.linalg.norm(gap):
        return None
    tangent = found.tangents[0] * np.sign(found.tangents[0] @ last.tangent)
    if tangent @ last.tangent < COSINE or step @ last.tangent <= 0:
        return None
    x = found.points[0].copy()
    x[-1] = target
    return curve_points(x[None], tangent[None], found.matrices, found.residuals)[0]


def _shorten(curve: Curve, trace: Trace, length: float) -> None:
    """Halve the step of a branch; cross a kink, or end, where it is least."""
    trace.size /= 2
    trace.calm = 0
    if trace.size > KINK_STEP * length:
        return
    if trace.n_kinks < len(trace.points):
        across = _across_kink(curve, trace, length)
        if across is not None:
            _collide(trace, across)
            trace.points.append(across)
            trace.n_kinks += 1
            trace.size = 2 * ACROSS_KINK * length
            return
    if trace.size < LEAST_STEP * length:
        trace.end = "the step fell below the least one"


def _across_kink(curve: Curve, trace: Trace, length: float) -> CurvePoint | None:
    """Return a point on the branch beyond a kink, in which the tangent jumps, or None."""
    last = trace.last
    reach = ACROSS_KINK * length
    beyond = evaluate(curve, last.x + 0.1 * reach * last.tangent, last.tangent)
    if beyond is None:
        return None
    for side in (1, -1):
        # Across a kink det [G_x; tᵀ] keeps its sign, and the tangent may turn by more than a right angle.
        tangent = beyond.tangent * side * (beyond.border_sign * last.border_sign or 1)
        if tangent @ last.tangent < -BACK:
            continue
        start = last.x + reach * tangent
        found = correct(curve, start[None], tangent[None], np.array([tangent @ start]))
        near = np.linalg.norm(found.points[0] - start) < 0.5 * reach
        if found.converged[0] and near and found.tangents[0] @ tangent > SAME_DIRECTION:
            return curve_points(found.points, found.tangents, found.matrices, found.residuals)[0]
    return None


def _collide(trace: Trace, across: CurvePoint) -> None:
    """Note a border collision where stability, or the direction of the parameter, changes at a kink."""
    last = trace.last
    if last.n_unstable == across.n_unstable and last.slope * across.slope > 0 and last.index == across.index:
        return
    turns = " and the parameter turns" if last.slope * across.slope < 0 else ""
    note = f"the Jacobian jumps: {last.n_unstable} → {across.n_unstable} unstable{turns}"
    point = replace(last, event="border collision", index=0 if last.index != across.index else last.index)
    nearest = last.eigenvalues[np.abs(np.abs(last.eigenvalues) - 1).argmin()]
    multiplier = complex(nearest.real, abs(nearest.imag))
    none = np.zeros((0, len(last.x)))
    # The last step that failed was twice as long: the kink lies within it.
    trace.events.append(Event("border collision", point, multiplier, last.residual, 2 * trace.size, note, none))
    trace.points.append(point)


def _extend(
    curve: Curve, trace: Trace, point: CurvePoint, limits: Limits, crossings: list[NDArray[np.float64]]
) -> None:
    """Add a point and the bifurcations before it; end the branch where it must end."""
    length = float(curve.length)
    last = trace.last
    if _closes(curve, trace, point):
        trace.points.append(trace.points[0])
        trace.end = "closed on itself"
        return
    # At a branch point the tangent is that of one of two branches: nothing changes between it and the next point.
    for event in [] if last.event else find_events(curve, last, point):
        if isinstance(event, CurvePoint):
            trace.points.append(event)
            continue
        trace.events.append(event)
        trace.points.append(event.point)
        if any(np.linalg.norm(event.point.x - crossing) < SAME * length for crossing in crossings):
            trace.end, trace.has_end = "reached a branch point", True
            return
    trace.points.append(point)
    recent = trace.points[-CONTINUUM:]
    # The arms of a symmetric pitchfork are vertical at one point, a continuum is along a piece.
    if len(recent) == CONTINUUM and all(abs(each.slope) < NO_SLOPE for each in recent):
        trace.end = "a continuum of roots at one parameter"
    elif point.x[-1] in {0.0, length}:
        trace.end, trace.has_end = f"left the interval at the {'start' if point.x[-1] == 0 else 'stop'}", True
    elif not limits.contains(curve, point.x):
        trace.end = "left the box"
    elif len(trace.points) >= limits.max_points:
        trace.end = f"the budget of {limits.max_points:,} points is spent"


def _closes(curve: Curve, trace: Trace, point: CurvePoint) -> bool:
    """Whether the branch passes its first point, in the same direction, in this step."""
    seed, last = trace.seed.point, trace.last
    if trace.seed.origin != "search" or len(trace.points) < 4 or seed.tangent @ last.tangent < SAME_DIRECTION:
        return False
    gap = point.x - last.x
    length = float(np.linalg.norm(gap))
    along = float((seed.x - last.x) @ gap) / length**2
    if not 0 <= along <= 1 or np.linalg.norm(seed.x - last.x - along * gap) > 0.3 * length:
        return False
    found = correct(curve, (last.x + along * gap)[None], seed.tangent[None], np.array([seed.tangent @ seed.x]))
    return bool(found.converged[0] and np.linalg.norm(found.points[0] - seed.x) < SAME * float(curve.length))
