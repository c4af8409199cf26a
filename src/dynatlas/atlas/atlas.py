"""The atlas folder, the result of a study: the only code that reads or writes it.

Everything is written to a temporary name, flushed, renamed, and only then entered in the manifest. So the
manifest is the truth: what is in it is whole; what is not is redone, even if a file stands there. An atlas can be
opened many times, in many processes, and all see the same: each question reads what was added to the manifest since.
Only the process that holds the lock writes to the manifest. Workers write files, and return their entries.
"""

import difflib
import fnmatch
import json
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import xarray as xr

from dynatlas._io.atomic import copy_tree, open_regular, publish, remove_temporaries, temporary_beside, write_bytes
from dynatlas._io.links import link_outside
from dynatlas._io.targets import refuse_bytes
from dynatlas._util.display import Summary, SummaryRepr
from dynatlas._util.json import Json
from dynatlas.atlas import checkpoints, formats, schema
from dynatlas.atlas.creation import begin, check_same_study, is_new
from dynatlas.atlas.lock import LOCK, BusyError, one_writer
from dynatlas.atlas.manifest import LOG, STUDY, Entry, Manifest, check_name, manifest_of, reason
from dynatlas.atlas.overview import damaged, overview
from dynatlas.atlas.verification import Problem, find_problems
from dynatlas.cells.cell import Cell, leaf_name
from dynatlas.errors import AtlasError, DamagedAtlasError, StudyError
from dynatlas.measures.pairs import Reduced
from dynatlas.study.factors import Factor
from dynatlas.study.members import Block, Configuration, Matrix, Member, Shape
from dynatlas.study.study import MANIFEST, Study

if TYPE_CHECKING:
    from dynatlas.figures.catalogue import Plots


__all__ = ["Atlas", "Entry", "Problem"]
PROVENANCE, PROGRESS, ARRAYS = "provenance.json", "progress.json", "arrays.zarr"
EXCERPT = ("tables/*", "arrays.zarr/distances/*")  # what statistics and most figures read
T = TypeVar("T")
Named = Block | Shape | Configuration | Matrix


@dataclass(frozen=True, repr=False)
class Atlas(SummaryRepr):
    """A study and what has been computed of it, in one folder. Pickling carries the path alone.

    Example:
        >>> import tempfile
        >>> atlas = Atlas.create(Path(tempfile.mkdtemp()) / "atlas", Study.load("demo"))
        >>> atlas.enter(atlas.write_text("report/index.html", "<h1>Hello</h1>"))
        >>> atlas.has("report/index.html"), atlas.verify()
        (True, [])
    """

    path: Path
    study: Study

    @classmethod
    def create(cls, path: str | Path, study: Study) -> "Atlas":
        """Make an atlas in a new or empty folder, or reopen the one that this study already has there.

        Raises:
            DifferentStudyError: the folder holds the atlas of another study; what differs is named.
            AtlasError: the folder holds something else, or cannot be written; its path is no Unicode text.
            DamagedAtlasError: the atlas there cannot be read.
        """
        path = _absolute(path)
        refuse_bytes(path, AtlasError)
        try:
            path.mkdir(parents=True, exist_ok=True)
            if is_new(path, study):
                # Two runs may be started at once: one of them makes the atlas.
                with one_writer(path):
                    if is_new(path, study):
                        begin(path, study)
        except FileExistsError:
            raise AtlasError(f"cannot make an atlas at {path}: it is a file; an atlas is a folder") from None
        except OSError as error:
            raise AtlasError(f"cannot make an atlas at {path}: {reason(error)}") from error
        atlas = cls.open(path)
        check_same_study(path, atlas.study, study)
        return atlas

    @classmethod
    def open(cls, path: str | Path) -> "Atlas":
        """Open an atlas.

        Raises:
            AtlasError: there is none, or a newer dynatlas wrote it.
            DamagedAtlasError: its manifest or its study file is damaged, or the study was edited.
        """
        path = _absolute(path)
        head = manifest_of(path).head()
        try:
            with open_regular(path / STUDY) as file:
                study = Study.parse(file.read().decode(), str(path / STUDY), is_resolved=True)
        except (OSError, UnicodeDecodeError, StudyError) as error:
            raise DamagedAtlasError(
                f"the study file of the atlas {path} is damaged: {reason(error)}. Put its {STUDY} back; "
                "or delete it and run the same study with this folder, which rewrites it"
            ) from None
        # A file that has other bytes and means the same, as after a change of a comment, does no harm.
        if study.hash != head.study_hash and head.study.damage(path):
            raise DamagedAtlasError(
                f"{path / STUDY} was edited after the atlas was made, and no longer says what is in it. "
                "Put it back, and run the edited study with a new folder"
            )
        return cls(path, study)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Be the one that writes; what dead runs have left half-written is removed first.

        Raises:
            AtlasError: another process has the lock, or the folder cannot be written.
        """
        with one_writer(self.path) as exclusive:
            if exclusive:
                remove_temporaries(self.path)
            yield

    @property
    def _factors(self) -> tuple[Factor, ...]:
        return self.study.further_factors

    @property
    def plot(self) -> "Plots":
        """Every figure by its name, ``atlas.plot.fig1()`` or ``atlas.plot("performance")``; ``dir`` lists them."""
        from dynatlas.figures.catalogue import Plots

        return Plots(self)

    @property
    def entries(self) -> Mapping[str, Entry]:
        """What is complete now, by name; what is entered later is not in it."""
        return self._manifest.entries()

    def has(self, name: str) -> bool:
        """Whether this file, or this group of arrays ("arrays.zarr/distances/…"), is complete."""
        return self._manifest.get(name) is not None

    def enter(self, *entries: Entry) -> None:
        """Declare entries complete, all at once: when this returns, they are on the disk.

        Raises:
            AtlasError: another process has the lock, or the manifest cannot be written.
        """
        with self._writing(LOG):
            self._manifest.enter(*entries)

    def discard(self, *names: str) -> None:
        """Take entries out of the manifest, so that they are redone; other names are no error.

        Raises:
            AtlasError: another process has the lock, or the manifest cannot be written.
        """
        with self._writing(LOG):
            self._manifest.discard(*names)

    def verify(self) -> list[Problem]:
        """Hash all that the manifest names; list what is not as it says, and what it does not know."""
        return find_problems(self.path, {STUDY, MANIFEST, LOG, PROVENANCE, PROGRESS, LOCK, checkpoints.FOLDER})

    def write_block(self, block: Block, members: Sequence[Member], arrays: Mapping[str, np.ndarray]) -> Entry:
        """Write the networks of a block: arrays such as "cell/recurrent_weights" [members, …].

        Safe in a worker: it leaves the manifest alone.

        Raises:
            ValueError: other members than the block has in the study; an array of another length.
            AtlasError: the block is complete already (``discard`` it first), or cannot be written.
        """
        expected = [member.id for member in self.study.blocks.get(block, ())]
        if not expected or [member.id for member in members] != expected:
            raise ValueError(
                f"{len(members)} members for the block {block.name}; expected the study's {len(expected)}, in its order"
            )
        name = _block_file(block)
        if self.has(name):
            raise AtlasError(f"{name} is complete in {self.path}; discard it before it is written again")
        return self._write(name, lambda path: formats.write_block(path, block, members, arrays))

    def read_block(self, block: Block) -> dict[str, np.ndarray]:
        """All arrays of a block; their first axis is over ``study.blocks[block]``.

        Raises:
            AtlasError: it is not in the atlas.
            DamagedAtlasError: its file is not what was written.
        """
        name = _block_file(block)
        ids, arrays = self._read(name, formats.read_block)
        if ids != [member.id for member in self.study.blocks[block]]:
            raise DamagedAtlasError(f"{self.path / name} holds other networks than the study has in this block")
        return arrays

    def cells(self, block: Block, *, untrained: bool = False) -> Cell:
        """The networks of a block as one cell whose every leaf has the members as its first axis.

        Raises:
            AtlasError: it is not in the atlas, or the study keeps no untrained controls.
            PluginError: their cell is user-defined, and its code has not been imported.
            DamagedAtlasError: its file is not what was written.
        """
        if untrained and not self.study.population.untrained_controls:
            raise AtlasError("this study keeps no initial weights; it would with population.untrained_controls = true")
        kind = "untrained/" if untrained else "cell/"
        return self._as_cells(block, self.read_block(block), kind, len(self.study.blocks[block]), _block_file(block))

    def _as_cells(self, block: Block, arrays: Mapping[str, np.ndarray], kind: str, count: int, file: str) -> Cell:
        """Return arrays of a file as one cell whose every leaf has ``count`` networks as its first axis."""
        skeleton = jax.eval_shape(lambda: self.study.cell(block, jax.random.key(0)))

        def stored(path: tuple[Any, ...], leaf: jax.ShapeDtypeStruct) -> jax.Array:
            key = f"{kind}{leaf_name(path)}"
            shape = arrays[key].shape if key in arrays else None
            if shape != (count, *leaf.shape):
                raise DamagedAtlasError(
                    f"{self.path / file}: {key!r} has shape {shape}; expected {(count, *leaf.shape)}"
                )
            return jnp.asarray(arrays[key])

        return jax.tree_util.tree_map_with_path(stored, skeleton)

    def member(self, id_or_name: str) -> Member:
        """Return the settings of a network, by its id, the first 4 or more characters of it, or its name.

        Raises:
            AtlasError: the study has no such network, or more than one.
        """
        members = self.study.members
        found = self.study.members_named(id_or_name) or [
            member for member in members if len(id_or_name) >= 4 and member.id.startswith(id_or_name)
        ]
        if len(found) == 1:
            return found[0]
        if found:
            ids = ", ".join(member.id for member in found[:10])
            raise AtlasError(f"{id_or_name!r} begins the ids of {len(found)} networks: {ids}. Give more characters")
        labels = [label for member in members for label in (member.id, member.name)]
        near = difflib.get_close_matches(id_or_name, labels, n=1, cutoff=0)[0]
        raise AtlasError(
            f"no network {id_or_name!r} in the study {self.study.name!r}; the nearest is {near!r}. "
            "Give an id, its first 4 or more characters, or a name"
        )

    def write_snapshots(self, block: Block, weights: Mapping[str, Mapping[str, np.ndarray]]) -> Entry:
        """Write the weights kept during training: network → leaf → array [snapshots, …]."""
        return self._write(snapshots_name(block), lambda path: formats.write_reduced(path, weights))

    def snapshots(self, block: Block) -> dict[str, Cell]:
        """The snapshots of a block's networks, by their ids: a cell whose every leaf has them as its first axis.

        Raises:
            AtlasError: they are not in the atlas, as of a study without ``[snapshots]``.
            DamagedAtlasError: their file is not what was written.
        """
        if not self.study.follows(block):
            raise AtlasError("this study keeps no snapshots of these networks; it would with snapshots = 12")
        file = snapshots_name(block)
        stored = self._read(file, formats.read_reduced)
        counts = {member.id: len(self.study.snapshots_of(member)) for member in self.study.blocks[block]}
        return {
            network: self._as_cells(block, arrays, "", counts.get(network, 0), file)
            for network, arrays in stored.items()
        }

    def network(self, id_or_name: str, *, untrained: bool = False, iteration: int | None = None) -> Cell:
        """One network, by its id, the first 4 or more characters of it, or its name.

        Args:
            id_or_name: which.
            untrained: as it was before training, if the study keeps untrained controls.
            iteration: as it was after this iteration, if there is a snapshot of it.

        Raises:
            AtlasError: the study has no such network, or more than one, or no such snapshot, or the network is not
                trained yet.
        """
        member = self.member(id_or_name)
        block = self.study.block_of(member)
        if iteration is None:
            index = self.study.blocks[block].index(member)
            return jax.tree.map(lambda leaf: leaf[index], self.cells(block, untrained=untrained))
        kept = self.study.snapshots_of(member)
        if iteration not in kept:
            there = f"there are at {', '.join(map(str, kept))}" if kept else "its study keeps none of this network"
            raise AtlasError(f"there is no snapshot of {member.name} at iteration {iteration}; {there}")
        cells = self.snapshots(block)[member.id]
        return jax.tree.map(lambda leaf: leaf[kept.index(iteration)], cells)

    def write_table(self, name: str, frame: pd.DataFrame) -> Entry:
        """Write a table of the schema; ``ValueError`` says what does not match it."""
        return self._write(f"tables/{name}.parquet", lambda path: formats.write_table(path, name, frame, self._factors))

    def table(self, name: str) -> pd.DataFrame:
        """Read a table: ``table("networks")``.

        Raises:
            AtlasError: there is no such table, the study makes none, or it is not in the atlas yet.
        """
        if name not in schema.tables_of(self.study) and not self.has(f"tables/{name}.parquet"):
            raise AtlasError(schema.why_no_table(name, self.study))
        return self._read(f"tables/{name}.parquet", lambda path: formats.read_table(path, name))

    def write_part(self, name: str, of: Named, frame: pd.DataFrame) -> Entry:
        """Write the rows of a table that belong to one block, shape, configuration or matrix; none need no columns."""
        rows = frame if len(frame) else formats.empty_table(name, self._factors)
        return self._write(part_name(name, of), lambda path: formats.write_table(path, name, rows, self._factors))

    def has_part(self, name: str, of: Named) -> bool:
        """Whether these rows of a table are there."""
        return self.has(part_name(name, of))

    def part(self, name: str, of: Named) -> pd.DataFrame:
        """Read the rows of a table that belong to one block, shape, configuration or matrix."""
        return self._read(part_name(name, of), lambda path: formats.read_table(path, name))

    def join_parts(self, name: str) -> pd.DataFrame:
        """All rows of a table, in the order of the study."""
        if name in schema.OF_SEARCHES:
            return pd.concat([self.part(name, each) for each in self.study.configurations], ignore_index=True)
        if name in schema.OF_MATRICES:
            parts = [self.part(name, matrix) for matrix in self.study.matrices if self.has_part(name, matrix)]
            return pd.concat(
                [part for part in parts if len(part)] or [formats.empty_table(name, self._factors)], ignore_index=True
            )
        if name == "mappings":
            measured = [shape for shape in self.study.shapes if self.has_part(name, shape)]
            parts = [self.part(name, shape) for shape in measured] or [formats.empty_table(name, self._factors)]
            return pd.concat(parts, ignore_index=True)
        blocks = [block for block in self.study.blocks if name not in schema.OF_SNAPSHOTS or self.study.follows(block)]
        rows = pd.concat([self.part(name, block) for block in blocks], ignore_index=True)
        place = {member.id: position for position, member in enumerate(self.study.members)}
        return rows.iloc[rows["network"].map(place).argsort(kind="stable")].reset_index(drop=True)

    def write_reduced(self, measure: str, block: Block, reduced: Mapping[str, Reduced]) -> Entry:
        """Write what a measure keeps of a block's networks, by their ids; of those left out there is nothing."""
        return self._write(reduced_name(measure, block), lambda path: formats.write_reduced(path, reduced))

    def reduced(self, measure: str, block: Block) -> dict[str, Reduced]:
        """Read what a measure kept of a block's networks."""
        return self._read(reduced_name(measure, block), formats.read_reduced)

    def write_arrays(self, group: str, dataset: xr.Dataset) -> Entry:
        """Write a group of arrays of the schema; ``ValueError`` says what does not match it."""
        formats.array_template(group)
        name = f"{ARRAYS}/{group}"
        entry = self._write(name, lambda path: formats.write_arrays(path, group, dataset))
        self._mark_groups(name)
        return entry

    def _mark_groups(self, name: str) -> None:
        """Make the folders above a group of arrays groups, too."""
        for parent in list(Path(name).parents)[:-1]:
            marker = self.path / parent / "zarr.json"
            if not marker.exists():
                write_bytes(marker, formats.GROUP)

    def excerpt(self, path: str | Path, keep: Sequence[str] = EXCERPT) -> "Atlas":
        """Copy what can be published to a folder of its own: an atlas that lacks the rest.

        Whatever reads only what is there works on it: tables, figures, claims. ``dynatlas run`` would compute the rest.

        Args:
            path: a new or empty folder, or an excerpt of the same study, to which what it lacks is added.
            keep: patterns of names of entries, in which * matches anything.

        Raises:
            DifferentStudyError, AtlasError: as of ``create``; a pattern matches no entry.
            DamagedAtlasError: an entry is not what was written.
        """
        names = {pattern: fnmatch.filter(self.entries, pattern) for pattern in keep}
        if unmatched := [pattern for pattern, matched in names.items() if not matched]:
            raise AtlasError(
                f"{self.path} has no entry that matches {unmatched[0]!r}; expected names such as "
                "'tables/networks.parquet' or 'arrays.zarr/distances/*'"
            )
        copy = Atlas.create(path, self.study)
        with copy.lock():
            copy.enter(*(copy.copied(self, name) for name in sorted(set().union(*names.values()))))
            copy.write_provenance(self.provenance)
        return copy

    def copied(self, source: "Atlas", name: str) -> Entry:
        """Copy an entry of another atlas, byte for byte; it is yet to be entered."""
        entry = self._write(name, lambda target: source._read(name, lambda file: copy_tree(file, target)))
        if name.startswith(f"{ARRAYS}/"):
            self._mark_groups(name)
        return entry

    def arrays(self, group: str) -> xr.Dataset:
        """Read a group of arrays into memory: ``arrays("distances/flip_flop/svcca")``."""
        return self._read(f"{ARRAYS}/{group}", lambda path: formats.read_arrays(path, group))

    def write_text(self, name: str, text: str) -> Entry:
        """Write a file of the report: ``write_text("report/index.html", …)``."""
        return self.write_bytes(name, text.encode())

    def write_bytes(self, name: str, content: bytes) -> Entry:
        """Write a file of the report: ``write_bytes("report/figures/map.png", …)``."""
        if not name.startswith("report/"):
            raise ValueError(f"{name!r} is not in the report; expected a name such as 'report/index.html'")
        return self._write(name, lambda path: path.write_bytes(content))

    def write_plugin(self, file: str, source: bytes) -> Entry:
        """Keep a file that the study's own tasks, cells or measures come from; nothing in it is run when it is read."""
        return self._write(file, lambda path: path.write_bytes(source))

    def write_checkpoint(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep what an unfinished job has so far, in place of what was kept of it before."""
        self._refuse_link(checkpoints.FOLDER)
        with self._writing(f"{checkpoints.FOLDER}/{name}"):
            checkpoints.write(self.path, name, arrays)

    def checkpoint(self, name: str) -> dict[str, np.ndarray] | None:
        """What an unfinished job had, or None if nothing whole is there."""
        return checkpoints.read(self.path, name)

    def remove_checkpoint(self, name: str) -> None:
        """Forget it: the job is done."""
        with self._writing(f"{checkpoints.FOLDER}/{name}"):
            checkpoints.remove(self.path, name)

    @property
    def provenance(self) -> Json:
        """What is known of the runs: versions, machines, times; empty before the first."""
        path = self.path / PROVENANCE
        try:
            with open_regular(path) as file:
                return dict(json.loads(file.read()))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise DamagedAtlasError(f"{path} is damaged: {reason(error)}. Delete it: a run rewrites it") from None

    def write_provenance(self, provenance: Mapping[str, Any]) -> None:
        """Merge into the provenance: tables into tables, and later values over earlier ones."""
        merged = _merged(self.provenance, provenance)
        with self._writing(PROVENANCE):
            write_bytes(self.path / PROVENANCE, json.dumps(merged, indent=1, sort_keys=True).encode() + b"\n")

    @property
    def progress(self) -> Json:
        """What the latest run last wrote of how far it is; empty before the first, or if it cannot be read."""
        try:
            with open_regular(self.path / PROGRESS) as file:
                return dict(json.loads(file.read()))
        except (OSError, ValueError, TypeError, RecursionError):
            return {}

    def write_progress(self, progress: Mapping[str, Any]) -> None:
        """Replace it. It is news and no result: the manifest does not know it."""
        with self._writing(PROGRESS):
            write_bytes(self.path / PROGRESS, json.dumps(progress, indent=1, allow_nan=False).encode() + b"\n")

    @contextmanager
    def token(self) -> Iterator[tuple[str, str]]:
        """A file of this run alone, as (name, content), by which a worker elsewhere knows that it sees this folder."""
        content = secrets.token_hex(16)
        with temporary_beside(self.path / "token") as path:
            with self._writing("token"):
                path.write_text(content)
            yield path.name, content

    def _summary(self) -> Summary:
        try:
            names = self.entries.keys()
        except AtlasError as error:
            return damaged(self.study, self.path, error)
        return overview(self.study, self.path, names, self.table)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).open, (self.path,)

    def _write(self, name: str, write: Callable[[Path], Any]) -> Entry:
        target = self.path / check_name(name)
        self._refuse_link(name.rpartition("/")[0])
        with self._writing(name), temporary_beside(target) as temporary:
            write(temporary)
            entry = Entry.of(self.path, name, at=temporary)
            recorded = self._manifest.get(name)
            if recorded and self._stays(recorded, entry):
                return recorded
            publish(temporary, target)
        return entry

    def _stays(self, recorded: Entry, entry: Entry) -> bool:
        """Whether what is complete is not replaced: it is the same and whole, or another process is the writer.

        A worker meets the latter if its job was given up, done again elsewhere, and ended after all. The first result
        stays, as other jobs may have read it. What does not stay is discarded: between the renaming and the entering,
        the manifest must not vouch for what stood there before.
        """
        damage = recorded.damage(self.path)
        if recorded == entry:
            return not damage
        try:
            self.discard(recorded.name)
        except BusyError:
            if damage:
                raise self._damaged(recorded.name, damage) from None
            return True
        return False

    def _read(self, name: str, read: Callable[[Path], T]) -> T:
        """Read an entry after comparing its hash, so that whatever is given back is what was written."""
        entry = self._manifest.get(name)
        if entry is None:
            raise AtlasError(f"{name} is not in the atlas {self.path} (yet): `dynatlas run` computes what is left")
        damage = entry.damage(self.path)
        if damage:
            raise self._damaged(name, damage)
        return read(self.path / name)

    def _refuse_link(self, folder: str) -> None:
        """Refuse to write into a folder of the atlas that is a link to a place outside."""
        link = link_outside(self.path, folder)
        if link is not None:
            raise AtlasError(f"{link} is a link out of the atlas, which is not followed; put a folder in its place")

    def _damaged(self, name: str, damage: str) -> DamagedAtlasError:
        return DamagedAtlasError(
            f"{self.path / name} is {damage}: `dynatlas verify --repair {self.path}` discards all that is damaged, and "
            "the next run redoes it"
        )

    @property
    def _manifest(self) -> Manifest:
        return manifest_of(self.path)

    @contextmanager
    def _writing(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise AtlasError(f"cannot write {self.path / name}: {reason(error)}") from error


def _absolute(path: str | Path) -> Path:
    """A path that means the same in a worker that runs elsewhere."""
    return Path(path).expanduser().absolute()


def _block_file(block: Block) -> str:
    return f"networks/{block.name}.safetensors"


def snapshots_name(block: Block) -> str:
    """The entry that holds the weights of a block's networks during training."""
    return f"snapshots/{block.name}.safetensors"


def part_name(table: str, of: Named) -> str:
    """The entry that holds the rows of a table that belong to one block, shape, configuration or matrix."""
    return f"parts/{table}/{of.name}.parquet"


def reduced_name(measure: str, block: Block) -> str:
    """The entry that holds what a measure keeps of a block's networks."""
    return f"reduced/{measure}/{block.name}.safetensors"


def _merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> Json:
    both = {key: _merged(old[key], new[key]) for key in new if all(isinstance(d.get(key), Mapping) for d in (old, new))}
    return {**old, **new, **both}
