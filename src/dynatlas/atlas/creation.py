"""Creation of an atlas: its first files, and the refusal of folders that hold something else or another study."""

import hashlib
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dynatlas._io.atomic import is_temporary, write_bytes
from dynatlas.atlas.lock import LOCK
from dynatlas.atlas.manifest import LOG, STUDY, Entry, is_empty_log, manifest_of
from dynatlas.errors import AtlasError, DifferentStudyError, shortened
from dynatlas.study.study import MANIFEST, Study


def is_new(path: Path, study: Study) -> bool:
    """Whether an atlas is yet to be made there: nothing stands there, or a making that was interrupted."""
    if (path / MANIFEST).exists():
        if (path / STUDY).exists():
            return False
        manifest = manifest_of(path)
        return not manifest.entries() or manifest.head().study_hash == study.hash
    foreign = sorted(file.name for file in path.iterdir() if not _is_ours(file))
    if foreign:
        raise AtlasError(
            f"{path} is not an atlas and not empty: it holds {foreign[0]!r}. Give a new or an empty folder"
        )
    return True


def begin(path: Path, study: Study) -> None:
    """Write the manifest, then the study: a folder with a study file alone may be the user's own."""
    text = study.to_toml().encode()
    manifest_of(path).begin(study.hash, Entry(STUDY, hashlib.sha256(text).hexdigest(), len(text)))
    write_bytes(path / STUDY, text)


def _is_ours(file: Path) -> bool:
    """Whether it is left of a making that was interrupted before there was a manifest."""
    return file.name == LOCK or is_temporary(file) or (file.name == LOG and is_empty_log(file))


def check_same_study(path: Path, there: Study, here: Study) -> None:
    """Refuse a folder that holds the atlas of another study.

    Raises:
        DifferentStudyError: it does; the message lists the settings that differ.
    """
    if there.hash != here.hash:
        raise DifferentStudyError(
            f"{path} holds the atlas of another study, {there.name!r}. Give another folder, "
            "or undo what differs (there → here):\n  " + "\n  ".join(_differences(there, here))
        )


def _differences(there: Study, here: Study, most: int = 250) -> list[str]:
    """What differs, setting by setting, in about ``most`` characters: "population.units: [64] → [64, 128]"."""
    old, new = _settings(there), _settings(here)
    lines = [
        f"{setting}: {old.get(setting, 'absent')} → {new.get(setting, 'absent')}"
        for setting in [*old, *(setting for setting in new if setting not in old)]
        if old.get(setting, "absent") != new.get(setting, "absent")
    ]
    lines = [shortened(line, 100) for line in lines]
    shown = sum(total <= most for total in itertools.accumulate(map(len, lines)))
    return lines if shown == len(lines) else [*lines[:shown], f"and {len(lines) - shown} more"]


def _settings(study: Study) -> dict[str, str]:
    """The settings that make a study what it is, by dotted path; tasks by name, which stands once."""
    content = study.model_dump(mode="json", exclude={"name", "description"})
    content["tasks"] = {task.name: task.model_dump(mode="json") for task in study.tasks}
    content["overrides"] = dict(enumerate(content["overrides"]))
    content["plugins"] = {plugin.origin.name: plugin.identity for plugin in study.plugins}

    def flat(prefix: str, value: Any) -> Iterator[tuple[str, str]]:
        if isinstance(value, dict):
            for key, item in value.items():
                yield from flat(f"{prefix}.{key}" if prefix else str(key), item)
        elif value is not None:
            yield prefix, json.dumps(value)

    return dict(flat("", content))
