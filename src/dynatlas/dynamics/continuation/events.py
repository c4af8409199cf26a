"""Bifurcations between two points of a branch: which there are, and where.

Between two points, det [G_x; tᵀ] changes sign at a branch point, the tangent's parameter at a fold, det(J + I) at a
flip. A change in the number of unstable eigenvalues that these do not explain is a pair that crosses the unit circle.
Where two of them meet in one segment it is halved until each has its own. A located point counts only if it lies in its
segment; a segment that was halved to nothing holds a jump of the Jacobian (a kink) or several events at one point.
"""

from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from dynatlas._util.messages import count_of
from dynatlas.dynamics.continuation.augmented import locate_branch_point, locate_critical
from dynatlas.dynamics.continuation.corrector import correct, evaluate
from dynatlas.dynamics.continuation.curve import Curve, CurvePoint, curve_points

Kind = Literal[
    "fold", "pitchfork", "transcritical", "flip", "Neimark-Sacker", "border collision", "degenerate", "unresolved"
]
KINDS: tuple[Kind, ...] = get_args(Kind)
_Suspect = Literal["branch point", "fold", "flip", "pair"]

MOST_HALVINGS = 40
# Segments are not halved below this length, relative to that of typical states.
SHORTEST = 2e-9
# A Jacobian that changes by this share within a segment of that length jumps.
JUMP = 1e-4
# The parameter turns where the tangent's component along it changes sign from or to more than this.
VERTICAL = 1e-7
# At a branch point, arms with a smaller component are those of a pitchfork.
VERTICAL_ARM = 1e-4
# Eigenvalues this close to the unit circle are on it, where no event could be isolated.
ON_CIRCLE = 1e-4
# A pair with a smaller angle, in radians, from 0 or π is no simple Neimark–Sacker bifurcation.
REAL = 1e-5
RESONANCE = 1e-3
# Resonant pairs: cycles per step of the eigenvalue e^{2πi/q} for which the normal form differs.
RESONANCES = {1 / 3: "1:3", 1 / 4: "1:4"}


@dataclass(frozen=True, eq=False)
class Event:
    """A bifurcation.

    Attributes:
        kind: its kind.
        point: where it is.
        multiplier: the critical eigenvalue; that of a pair has a positive imaginary part.
        residual: norm of the equations that define it, at the point.
        uncertainty: of its place: length of the last Newton step, or of the segment that holds it.
        note: what is special about it.
        tangents: of the two branches, at a branch point; otherwise empty [k, n + 1].
    """

    kind: Kind
    point: CurvePoint
    multiplier: complex
    residual: float
    uncertainty: float
    note: str
    tangents: NDArray[np.float64]


def find_events(curve: Curve, first: CurvePoint, second: CurvePoint, depth: int = 0) -> list[Event | CurvePoint]:
    """Return the bifurcations between two neighbouring points of a branch, in order, and points between them."""
    suspects = _suspects(first, second)
    if not suspects:
        return []
    if len(suspects) == 1:
        event = _locate(curve, first, second, suspects[0])
        if event is not None:
            return [event]
    gap = float(np.linalg.norm(second.x - first.x))
    middle = _middle(curve, first, second) if depth < MOST_HALVINGS and gap > SHORTEST * float(curve.length) else None
    if middle is None:
        return [_unlocated(first, second, suspects, gap)]
    before, after = find_events(curve, first, middle, depth + 1), find_events(curve, middle, second, depth + 1)
    return [*before, *([middle] if before and after else []), *after]


def _suspects(first: CurvePoint, second: CurvePoint) -> list[_Suspect]:
    """Return what must lie between two points."""
    found: list[_Suspect] = []
    if first.border_sign * second.border_sign < 0:
        found.append("branch point")
    elif first.slope * second.slope < 0 and max(abs(first.slope), abs(second.slope)) > VERTICAL:
        found.append("fold")
    flips = first.flip_sign * second.flip_sign < 0
    if flips:
        found.append("flip")
    # Each real eigenvalue that crosses at 1 or −1 changes the number by 1, each pair by 2.
    crossings = int(flips) + int(first.index * second.index < 0)
    change = abs(second.n_unstable - first.n_unstable)
    if change > crossings or (change - crossings) % 2:
        found += ["pair"] * max(1, (change - crossings) // 2)
    return found


def _middle(curve: Curve, first: CurvePoint, second: CurvePoint) -> CurvePoint | None:
    """Return the point of the branch halfway, or None if the corrector fails there."""
    border = second.x - first.x
    border /= np.linalg.norm(border)
    guess = 0.5 * (first.x + second.x)
    found = correct(curve, guess[None], border[None], np.array([border @ guess]))
    if not found.converged[0]:
        return None
    return curve_points(found.points, found.tangents, found.matrices, found.residuals)[0]


def _locate(curve: Curve, first: CurvePoint, second: CurvePoint, suspect: _Suspect) -> Event | None:
    """Locate the one event of a segment, or return None if Newton's method does not lead to a point in it."""
    share = first.slope / (first.slope - second.slope) if suspect == "fold" else 0.5
    gap = second.x - first.x
    near = evaluate(curve, first.x + share * gap, gap)
    if near is None:
        return None
    if suspect == "branch point":
        return _locate_branch_point(curve, near, first, second)
    angle = 0.0 if suspect == "fold" else np.pi if suspect == "flip" else _crossing_angle(first, second)
    found = locate_critical(curve, near, angle, is_complex=suspect == "pair")
    angle = abs((found.angle + np.pi) % (2 * np.pi) - np.pi)
    is_real = suspect == "pair" and min(angle, np.pi - angle) < REAL
    if is_real or not found.is_located or not _is_between(found.x, first, second):
        return None
    point = evaluate(curve, found.x, gap)
    # Elsewhere Newton's method may converge to a point that only looks critical.
    multiplier = complex(np.exp(1j * angle)) if suspect == "pair" else complex(np.cos(angle))
    if point is None or np.abs(point.eigenvalues - multiplier).min() > ON_CIRCLE:
        return None
    kind: Kind = "fold" if suspect == "fold" else "flip" if suspect == "flip" else "Neimark-Sacker"
    note = ""
    for cycles, name in RESONANCES.items():
        if suspect == "pair" and abs(angle / (2 * np.pi) - cycles) < RESONANCE:
            note = f"strong resonance {name}"
    point = replace(point, event=kind, index=0 if kind == "fold" else point.index)
    return Event(kind, point, multiplier, found.residual, found.step, note, np.zeros((0, len(gap))))


def _locate_branch_point(curve: Curve, near: CurvePoint, first: CurvePoint, second: CurvePoint) -> Event | None:
    found = locate_branch_point(curve, near)
    if not found.is_located or not _is_between(found.x, first, second):
        return None
    gap = second.x - first.x
    point, tangents = evaluate(curve, found.x, gap), found.tangents
    if point is None or not len(tangents):
        return None
    values = np.linalg.svd(point.matrix, compute_uv=False)
    if len(values) > 1 and values[-2] < ON_CIRCLE * max(values[0], 1):
        return None  # several eigenvalues at once
    # The branch that is followed is the one whose tangent is along the segment; the other one is the new branch.
    tangents = tangents[np.argsort(-np.abs(tangents @ gap))]
    own = tangents[0] * np.sign(tangents[0] @ gap)
    is_vertical = np.abs(tangents[:, -1]) < VERTICAL_ARM
    # A fold in the same segment is no part of this point: the segment must be halved.
    if first.slope * second.slope < 0 and not is_vertical[0]:
        return None
    kind: Kind = "pitchfork" if is_vertical.any() else "transcritical"
    point = replace(point, event=kind, index=0, tangent=own)
    return Event(kind, point, 1 + 0j, found.residual, found.step, "", tangents)


def _crossing_angle(first: CurvePoint, second: CurvePoint) -> float:
    """Return the angle of the complex eigenvalue that is nearest to the unit circle at either end; 0 without one."""
    both = np.concatenate([first.eigenvalues, second.eigenvalues])
    pairs = both[both.imag > REAL]
    return float(np.angle(pairs[np.abs(np.abs(pairs) - 1).argmin()])) if len(pairs) else 0.0


def _is_between(x: NDArray[np.float64], first: CurvePoint, second: CurvePoint) -> bool:
    """Whether a point lies on the piece of the branch between two points."""
    gap = second.x - first.x
    length = float(np.linalg.norm(gap))
    along = float((x - first.x) @ gap) / length**2
    slack = 1e-9 / length
    off = float(np.linalg.norm(x - first.x - along * gap))
    return -0.01 - slack <= along <= 1.01 + slack and off <= 0.5 * length + 1e-9


def _unlocated(first: CurvePoint, second: CurvePoint, suspects: list[_Suspect], gap: float) -> Event:
    """Return the event of a segment that could not be halved further."""
    size = max(1.0, float(np.linalg.norm(first.matrix)))
    nearest = first.eigenvalues[np.abs(np.abs(first.eigenvalues) - 1).argmin()]
    on_circle = int((np.abs(np.abs(first.eigenvalues) - 1) < ON_CIRCLE).sum())
    kind: Kind
    if float(np.linalg.norm(first.matrix - second.matrix)) > JUMP * size:
        kind, note = "border collision", f"the Jacobian jumps: {first.n_unstable} → {second.n_unstable} unstable"
    elif on_circle > 1:
        kind, note = "degenerate", f"{count_of(on_circle, 'eigenvalue')} on the unit circle at once"
    else:
        kind, note = "unresolved", f"expected {' and '.join(suspects)}"
    point = replace(first, event=kind, index=0 if first.index != second.index else first.index)
    return Event(
        kind, point, complex(nearest.real, abs(nearest.imag)), first.residual, gap, note,
        np.zeros((0, len(first.x))),
    )  # fmt: skip
