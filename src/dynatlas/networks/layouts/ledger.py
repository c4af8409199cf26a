"""Account of a file's arrays: each is used, explained, or ignored on request; one that could matter stops the reading.

A step that lacks one of its terms is the step of another network, and a certificate of it is worth nothing. So no
array of a size that fits the state or the input is left aside in silence.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Final

import numpy as np

from dynatlas._io.untrusted import AnyArray, Arrays
from dynatlas.errors import NetworkError
from dynatlas.networks.options import Options

# What names say about arrays that no step uses. The first match counts; names in lower case.
_HARMLESS: Final = (
    (r"(^|[._/])_?(optim\w*|opt|exp_avg(_sq)?|momentum_buffer|lr_scheduler\w*)([._/]|$)", "state of the optimiser"),
    (
        r"(^|[._/])(h_?0|c_?0|[xy]_?0|(init|initial|learned)_?(state|hidden|h|c)?|[hxy]_?init|hidden_state)$",
        "first state",
    ),
    (r"(^|[._/])(sigma|std|noise)(_\w+)?$|(^|[._/])\w*_?noise(_std|_level)?$", "size of the noise"),
    (
        r"(^|[._/])(epochs?|iterations?|best_\w+|(train_|val_|test_)?(loss(es)?|acc(uracy)?)|seed|lr|learning_rate)$",
        "of training",
    ),
    (r"(^|[._/])(num_batches_tracked|global_step|last_epoch|version|seed_generator(_\d+)?(/\w+)*)$", "of training"),
)
_RECORD: Final = (
    r"(^|[._/])(states|activity|rates|trajector(y|ies)|trials|inputs|outputs|targets|following|initial|hidden)$"
)
_SIZE: Final = r"(^|[._/])(n|n?_?(units|hidden|rec|in|inputs?|neurons)|\w+_size|\w+_dim)$"
_SWITCH: Final = r"train|learn|grad|batch|bias|verbose|save|cuda|gpu|noise|seed|debug|return|plot|log|test|eval"
_SETTINGS: Final = r"\w['\"]?\s*[:=]\s*['\"\w.\[{-]"  # as in JSON, YAML, and the repr of a dictionary
_NO_ROLE: Final = r"norm|(^|[._/])(ln|bn)|gamma|beta|gain|scale|feedback|w_?fb|(^|[._/])wf$"
_SIGN: Final = r"(^|[._/])(ei|dale|signs?)(_\w+)?$|_(ei|dale|signs?)$"
_MASK: Final = r"mask|connectivity|sparsity"
RECORD: Final = "a record"
SHOWN: Final = 4  # names in a message


class Ledger:
    """The arrays of a file, and what became of each.

    Args:
        arrays: the arrays by name.
        options: the options of the caller; arrays that they ignore are left out.
        left_out: names of ignored arrays that were not read.

    Raises:
        NetworkError: an array to ignore does not exist, or a name is no text that can be written.

    Example:
        >>> ledger = Ledger({"W": np.eye(2), "gain": np.ones(2)}, Options())
        >>> ledger.use("W").tolist()
        [[1.0, 0.0], [0.0, 1.0]]
        >>> ledger.close({2}, 1)
        Traceback (most recent call last):
        dynatlas.errors.NetworkError: 'gain' [2] is not used, and could be part of the dynamics...
    """

    def __init__(self, arrays: Arrays, options: Options, left_out: Sequence[str] = ()) -> None:
        odd = next((name for name in arrays if any("\ud800" <= letter <= "\udfff" for letter in name)), None)
        if odd is not None:
            raise NetworkError(f"the name {odd[:80]!r} is no Unicode text; expected names that can be printed")
        ignored = [name for name in (*left_out, *arrays) if any(fnmatchcase(name, one) for one in options.ignore)]
        unmatched = [one for one in options.ignore if not any(fnmatchcase(name, one) for name in ignored)]
        if unmatched:
            raise NetworkError(f"the file has no array {unmatched[0]!r} to ignore; it has: {shortened(arrays)}")
        self.arrays = {name: values for name, values in arrays.items() if name not in ignored}
        self.assumed: list[str] = []
        self._ignored = ignored
        self._used: dict[str, AnyArray] = {}
        self._explained: dict[str, str] = {}

    def use(self, name: str) -> AnyArray:
        """Return an array and enter it as used."""
        self._used[name] = self.arrays[name]
        return self.arrays[name]

    def explain(self, name: str, why: str) -> None:
        """Enter why an array has no part in the step."""
        self._explained[name] = why

    def assume(self, what: str, why: str = "") -> str:
        """Enter an assumption, and return the sentence that states it."""
        if what not in self.assumed:
            self.assumed.append(what)
        return f"{what}, assumed{why and f': {why}'}"

    @property
    def rest(self) -> Arrays:
        """Arrays that are neither used nor explained."""
        known = self._used.keys() | self._explained.keys()
        return {name: values for name, values in self.arrays.items() if name not in known}

    def close(
        self, states: Collection[int], n_inputs: int, *, has_roles: bool = True, taken: Collection[str] = ()
    ) -> tuple[str, ...]:
        """Return sentences about the arrays that are not used.

        Args:
            states: sizes of what belongs to the state: units of each layer, and rows of all its gates.
            n_inputs: number of inputs.
            has_roles: whether the caller can give an array a role.
            taken: roles that other arrays have; only biases are added.

        Raises:
            NetworkError: an array that is not used fits the state, the input, or a matrix between them.
        """
        suspects = {}
        # A bias is judged after the weights of its module.
        for name, values in sorted(self.rest.items(), key=lambda item: bool(_weights_beside(item[0]))):
            why = self._as_its_module(name, values) or self._harmless(name, values, set(states), n_inputs)
            if why is None:
                suspects[name] = values
            else:
                self._explained[name] = why
        if suspects:
            raise NetworkError(_complaint(suspects, has_roles, {*taken} - {"bias"}))
        by_reason: dict[str, list[str]] = {}
        for name, why in self._explained.items():
            by_reason.setdefault(why, []).append(name)
        sentences = [f"not used: {shortened(names)} ({why})" for why, names in by_reason.items()]
        if self._ignored:
            self.assumed.insert(0, f"{shortened(self._ignored)} without effect")
            sentences.append(f"ignored, as requested: {shortened(self._ignored)}")
        return tuple(sentences)

    def _harmless(self, name: str, values: AnyArray, states: set[int], n_inputs: int) -> str | None:
        """Return why an array cannot be part of the step, or None."""
        if values.dtype.kind == "U":
            what = "None" if values.shape == () and str(values) == "None" else "text"
            return None if _are_settings(values) else what
        if values.dtype.kind == "b" and values.size == 1:
            return "a switch" if not values.any() or re.search(_SWITCH, name.lower()) else None
        by_name = _by_name(name.lower(), values)
        if by_name == RECORD and _could_be_weights(values, states, n_inputs):
            return None
        if by_name is not None:
            return by_name
        if re.search(_MASK, name.lower()) and self._is_applied(values):
            return "the weights have it already"
        return _by_shape(name.lower(), values, states, n_inputs)

    def _as_its_module(self, name: str, values: AnyArray) -> str | None:
        """Return why the weights of a bias's module have no part in the step, or None."""
        for weights, returned in _weights_beside(name):
            if weights in self._explained and values.shape == self.arrays[weights].shape[returned]:
                return self._explained[weights]
        return None

    def _is_applied(self, mask: AnyArray) -> bool:
        """Whether a mask of zeros and ones changes none of the weights of its shape that are used."""
        fitting = [values for values in self._used.values() if values.shape == mask.shape]
        if mask.dtype.kind not in "fiub" or not np.isin(mask, (0, 1)).all() or not fitting:
            return False
        return all(np.array_equal(values * mask, values) for values in fitting)


def _by_name(lower: str, values: AnyArray) -> str | None:
    """Return what the name of an array says, if that has no part in a step."""
    if values.ndim in (2, 3) and re.search(_RECORD, lower):
        return RECORD
    return next((why for pattern, why in _HARMLESS if re.search(pattern, lower)), None)


def _are_settings(values: AnyArray) -> bool:
    """Whether texts hold several named values, whose meaning is up to the program that wrote them.

    Example:
        >>> _are_settings(np.array('{"activation": "relu"}')), _are_settings(np.array("trained on 3 bits"))
        (True, False)
    """
    return any(re.search(_SETTINGS, str(text)) is not None for text in values.reshape(-1)[:100])


def _could_be_weights(values: AnyArray, states: set[int], n_inputs: int) -> bool:
    """Whether a record could be a matrix: [units, units], or [units, inputs] if there is no other input."""
    if values.ndim != 2:
        return False
    return set(values.shape) <= states or (n_inputs == 0 and bool(states & set(values.shape)))


def _by_shape(lower: str, values: AnyArray, states: set[int], n_inputs: int) -> str | None:
    """Return why an array of this shape has no part in a step, or None."""
    shape = tuple(size for size in values.shape if size != 1)
    why = None
    if not shape:
        sizes = {float(size) for size in (*states, n_inputs)}
        is_size = re.search(_SIZE, lower) and values.dtype.kind in "iuf" and float(values.reshape(())) in sizes
        why = "a size" if is_size else None
    elif _reads_out(lower, values, states):
        why = "it reads the state and does not act back"
    elif len(shape) == 1:
        why = None if shape[0] in states | {n_inputs} else "its size fits neither the state nor the input"
    elif not states & set(shape):
        why = "it does not touch the state"
    return why


def _reads_out(lower: str, values: AnyArray, states: set[int]) -> bool:
    """Whether an array has the name and the shape of a linear layer from the state to something else."""
    is_kernel = re.search(r"(^|[./])kernel(:0)?$", lower) is not None
    if values.ndim != 2 or not (is_kernel or re.search(r"[._](weight|w)$", lower)):
        return False
    taken, returned = values.shape if is_kernel else values.shape[::-1]
    return taken in states and returned not in states


def _weights_beside(name: str) -> list[tuple[str, slice]]:
    """Return the names that the weights beside a bias may have, each with its axis of what the module returns."""
    match = re.fullmatch(r"(?P<stem>(.*[./])?)bias(?P<end>:0)?", name)
    if match is None:
        return []
    return [(f"{match['stem']}weight", slice(1)), (f"{match['stem']}kernel{match['end'] or ''}", slice(-1, None))]


def shortened(names: Iterable[str], most: int = 8) -> str:
    """Return names as one text of bounded length."""
    listed = [name if len(name) <= 60 else f"{name[:59]}…" for name in names]
    more = f", … ({len(listed)} in all)" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more or "nothing"


def _complaint(suspects: Arrays, has_roles: bool, taken: Collection[str]) -> str:
    listed = shortened([f"{name!r} {list(values.shape)}" for name, values in suspects.items()], SHOWN)
    roles = {name: _likely_role(name, values) for name, values in suspects.items()}
    one = next((name for name, role in roles.items() if role and role not in taken), next(iter(suspects)))
    role, values = None if roles[one] in taken else roles[one], suspects[one]
    by = "by what it says" if values.dtype.kind in "bU" else "by size"
    way_out = "write the step in JAX, Network(step=…), or "
    if has_roles and role:
        way_out = f"name the role with --part {role}={one} (parts={{{role!r}: {one!r}}}), or "
    if values.dtype.kind == "U":
        way_out = "choose what it says of the step by options (such as --activation and --alpha), and "
    return (
        f"{listed} {'are' if len(suspects) > 1 else 'is'} not used, and could be part of the dynamics {by}. To go "
        f"on, {way_out}if it has no effect leave it out with --ignore {one} (ignore=[{one!r}])"
    )


def _likely_role(name: str, values: AnyArray) -> str | None:
    """Return the role that an array has most likely, for a message; None for parts that have no role here."""
    lower, axes = name.lower(), sum(size != 1 for size in values.shape)
    if values.dtype.kind in "bU" or re.search(_NO_ROLE, lower):
        return None
    if axes == 1 and re.search(_SIGN, lower):
        return "sign"
    known = next((role for role in ("alpha", "tau", "dt") if lower.endswith(role)), None)
    if known:
        return known
    if re.search(_MASK, lower):
        return "recurrent_mask"
    if axes == 0:
        return "alpha" if re.search("leak|decay", lower) else None
    return "bias" if axes == 1 else "recurrent" if len(set(values.shape)) == 1 else "input"
