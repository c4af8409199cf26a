"""What the names of columns and of axes denote: units, trials, conditions, times, or other labels.

trial, trial_id, TrialNumber → "trial"        time, step, time_bin, align_time → "time"
neuron_3, unit 12, spikes_1001, 7 → "unit"    session, subject → "session"        stim, choice, rt → "label"
"""

import re
from functools import lru_cache
from typing import Final, Literal

MOST_NAMES: Final = 100_000  # remembered
Role = Literal["unit", "trial", "condition", "time", "session", "label", ""]  # "" for an unknown name


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


SINGULAR_UNITS: Final = _words("unit neuron cell channel chan ch electrode roi cluster clu site voxel")
UNITS: Final = SINGULAR_UNITS | _words(
    "units neurons cells channels electrodes rois clusters sites voxels mua sua neur spike spikes rate rates fr "
    "firing activity count counts"
)
TRIALS: Final = _words("trial trials sweep sweeps repetition repetitions rep reps")
CONDITIONS: Final = _words("condition conditions cond conds")
SESSIONS: Final = _words(
    "session sessions subject subjects animal animals monkey mouse rat participant day date recording experiment "
    "dataset"
)
SAMPLES: Final = _words("sample samples row rows observation observations obs")
TIMES: Final = _words(
    "time times t step steps bin bins timestep timesteps timebin timebins timestamp timestamps frame frames tbin clock"
)
CLOCKS: Final = _words("clock abs absolute unix wall timestamp timestamps")
NUMBERING: Final = _words("id ids number num no nr n index idx i name")
OF_TIME: Final = (
    NUMBERING
    | CLOCKS
    | _words("align aligned relative rel trial peri within in from center centre s sec secs second seconds ms msec")
)
LABELS: Final = _words(
    "stim stimulus stimuli choice chosen correct response resp reward rewarded block phase epoch direction dir "
    "target targets coherence coh context cue go outcome error success split set label labels class start stop "
    "end onset offset rt reaction speed velocity vel acceleration position pos hand cursor eye pupil lick licks "
    "wheel running force emg behaviour behavior kinematic kinematics id index idx sample row margin delay "
    "duration contrast orientation frequency freq angle tone odor odour image color colour difficulty evidence "
    "laser opto optogenetics photostim stimulation led sound odour whisker whisking lfp eeg emg pupillometry speed "
    "rule side left right probability prob value confidence quality snr area region layer depth hemisphere type"
)
MASKS: Final = _words(
    "mask masks masked valid invalid missing keep kept exclude excluded include included good bad reject rejected use "
    "used discard discarded artifact artefact ok usable"
)
PLACES: Final = _words("area region layer side left right depth hemisphere id index idx")


def words_of(name: str) -> list[str]:
    """Split a name into words in lower case and numbers.

    Example:
        >>> words_of("TrialID"), words_of("neuron_12")
        (['trial', 'id'], ['neuron', '12'])
    """
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)]


@lru_cache(MOST_NAMES)
def role_of(name: str) -> Role:
    """Return what a column or an axis of this name holds.

    Example:
        >>> [role_of(name) for name in ("trial_id", "align_time", "neuron_3", "stim", "hippo")]
        ['trial', 'time', 'unit', 'label', '']
    """
    words = words_of(name)
    if not words:
        return ""
    first, rest = words[0], set(words[1:])
    alone: tuple[tuple[frozenset[str], Role], ...] = (
        (TRIALS, "trial"),
        (CONDITIONS, "condition"),
        (SESSIONS, "session"),
        (SINGULAR_UNITS | UNITS, "unit"),
    )
    for known, role in alone:
        if first in known and rest <= NUMBERING:
            return role
    if is_numbered(name):
        return "unit"
    if set(words) & TIMES and set(words) <= TIMES | OF_TIME:
        return "time"
    return "label" if set(words) & (LABELS | MASKS | TRIALS | CONDITIONS | SESSIONS | TIMES | UNITS) else ""


@lru_cache(MOST_NAMES)
def is_numbered(name: str) -> bool:
    """Whether a name is that of one unit: a word for units with a number or a letter, or a number alone.

    Example:
        >>> [is_numbered(name) for name in ("neuron_3", "LIP unit 12a", "1001", "unit_id", "sig001")]
        [True, True, True, False, False]
    """
    words = words_of(name)
    if name.strip().isdecimal():
        return True
    others = [word for word in words if word not in UNITS]
    if set(others) & LABELS - PLACES:
        return False
    return (
        len(others) < len(words)
        and bool(others)
        and (
            any(word.isdecimal() for word in others) or all(len(word) == 1 and word not in NUMBERING for word in others)
        )
    )


def is_mask(name: str) -> bool:
    """Whether zeros and ones of this name say which rows, units or values count.

    Example:
        >>> [is_mask(name) for name in ("good_units", "rates_mask", "choice")]
        [True, True, False]
    """
    return bool(set(words_of(name)) & MASKS)


def lists_units(name: str) -> bool:
    """Whether a column names the unit of each row, as in a long table.

    Example:
        >>> [lists_units(name) for name in ("unit", "neuron_id", "spikes", "unit_3")]
        [True, True, False, False]
    """
    words = words_of(name)
    return bool(words) and words[0] in SINGULAR_UNITS and set(words[1:]) <= NUMBERING


def is_clock(name: str) -> bool:
    """Whether a time runs through the whole session, rather than from the start of each trial."""
    return bool(set(words_of(name)) & CLOCKS)
