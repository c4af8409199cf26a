"""The application and the commands for studies and atlases."""

import errno
import json
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Group, Parameter, validators
from rich.console import Console
from rich.table import Table

from dynatlas._util.messages import duration
from dynatlas.cli import continuation as continuation_commands
from dynatlas.cli import doctor as doctor_command
from dynatlas.cli import figures as figure_commands
from dynatlas.cli import lesions as lesion_commands
from dynatlas.cli import networks as network_commands
from dynatlas.cli import recordings as recording_commands
from dynatlas.cli.streams import drop_output, unfailing_errors
from dynatlas.errors import AtlasError, DamagedAtlasError, DynatlasError, StudyError

if TYPE_CHECKING:
    from dynatlas.atlas.atlas import Atlas
    from dynatlas.study.study import Study


app = App(
    name="dynatlas",
    help="""Train populations of recurrent networks, find what each computes, and map how alike they are.

    A study is one TOML file; its result is one folder, an atlas.

        dynatlas new study.toml            write a commented study file
        dynatlas plan study.toml           estimate its cost on this machine
        dynatlas run study.toml my-atlas   run it; run again to resume
        dynatlas status my-atlas           show its progress, also while it runs
        dynatlas report my-atlas           rebuild the page and print its path
        dynatlas figures my-atlas          draw the figures of the paper, and more
        dynatlas excerpt my-atlas FOLDER   copy what is small enough to publish
        dynatlas analyze NETWORK           analyse a network trained elsewhere
        dynatlas continue NETWORK          follow its fixed points along an input or weights
        dynatlas lesion NETWORK            remove its units, modes and input channels
        dynatlas place my-atlas RECORDING  place a recording among the networks
        dynatlas doctor                    check the installation by a short run

    Exit codes:

        0  done                      4  folder is no atlas, in use, or not writable
        1  other error               5  folder contains a different study
        2  wrong arguments           6  atlas is damaged
        3  bad study file            7  stopped by SIGTERM or SIGUSR1; resumable
        8  bad network or recording  130  interrupted; resumable
    """,
    help_format="plaintext",
)

Json = Annotated[bool, Parameter(name="--json", negative="", help="Print JSON for scripts.")]
StudyName = Annotated[str, Parameter(help="A study file, or a built-in study, such as demo.")]
VERBOSITY = Group("Verbosity (at most one)", validator=validators.MutuallyExclusive())
WORKERS = Group("Workers (at most one)", validator=validators.MutuallyExclusive())
AtlasFolder = Annotated[Path, Parameter(help="The atlas folder.")]


@app.command
def new(path: Path, /, *, like: str = "demo") -> None:
    """Write a commented study file to start from.

    Args:
        path: Where to write it; an existing file is never overwritten.
        like: The built-in study to copy.
    """
    from dynatlas.study.files import builtin_studies, builtin_study_text

    if like not in builtin_studies():
        raise StudyError(f"no built-in study {like!r}; there are: {', '.join(builtin_studies())}")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(builtin_study_text(like))
    except FileExistsError:
        raise StudyError(f"{path} exists; choose another name, or remove it first") from None
    except OSError as error:
        raise StudyError(f"cannot write {path}: {error.strerror}") from None
    print(f"wrote {path}\nedit it, then: dynatlas plan {path}")


@app.command
def plan(
    study: StudyName,
    /,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    as_json: Json = False,
) -> None:
    """Count the jobs of a study, and predict their time, memory and disk space from a short calibration.

    Args:
        study: A study file, or a built-in study.
        workers: Number of processes to assume; by default one per core, or all workers of the scheduler.
        scheduler: Calibrate on the workers of the Dask scheduler at this address, instead of on this machine.
        as_json: Print JSON for scripts.
    """
    from dynatlas.pipeline import planning
    from dynatlas.study.study import Study

    loaded = Study.load(study)
    print("timing short parts of the run: a minute or more, most of it compilation …", file=sys.stderr, flush=True)
    result = planning.plan(loaded, workers, scheduler)
    if as_json:
        stages = [stage._asdict() for stage in result.stages]
        totals = {"flops": result.flops, "seconds": result.seconds}
        print(json.dumps(result._asdict() | totals | {"stages": stages}))
        return
    table = Table("stage", "jobs", "TFLOP", "worker time", "starts after", "ends after", box=None, pad_edge=False)
    for stage in result.stages:
        flops = f"{stage.flops / 1e12:,.3g}" if stage.flops else "–"
        times = (duration(seconds) for seconds in (stage.worker_seconds, stage.start, stage.end))
        table.add_row(stage.name, f"{stage.jobs:,}", flops, *times)
    console = Console()
    console.print(table)
    console.print(
        f"\n{result.networks:,} networks in {result.blocks} blocks; {result.searches:,} fixed-point searches; "
        f"{result.pairs:,} pairs per measure.\nAbout {duration(result.seconds)} on {result.workers} workers, up to "
        f"{result.worker_bytes / 1e9:.1f} GB of memory in a worker, {result.disk_bytes / 1e6:,.0f} MB on disk."
    )


@app.command
def run(
    study: StudyName,
    out: Annotated[Path | None, Parameter(help="The atlas folder; by default atlases/NAME.")] = None,
    /,
    *,
    workers: Annotated[int | None, Parameter(group=WORKERS)] = None,
    scheduler: Annotated[str | None, Parameter(group=WORKERS)] = None,
    cluster: Annotated[Path | None, Parameter(group=WORKERS)] = None,
    show_job_script: Annotated[bool, Parameter(negative="")] = False,
    until: str | None = None,
    reuse: Path | None = None,
    quiet: Annotated[bool, Parameter(group=VERBOSITY, negative="")] = False,
    verbose: Annotated[bool, Parameter(group=VERBOSITY, negative="")] = False,
) -> None:
    """Run a study: train, analyse, map, report. Run it again to resume after an interruption.

    Args:
        study: A study file, or a built-in study.
        out: The atlas folder; by default atlases/NAME.
        workers: Number of processes on this machine, each with one thread; by default one per core.
        scheduler: Use the workers of the Dask scheduler at this address, such as tcp://host:8786.
        cluster: Use workers in SLURM jobs, as described in this TOML file.
        show_job_script: Print the script of the SLURM jobs and exit.
        until: The last stage to run, such as "search" or "training"; by default all.
        reuse: Another atlas, to copy its networks and findings where this study would compute the same.
        quiet: Print only the result.
        verbose: Print where and when each job starts and ends, and which jobs are repeated.
    """
    from contextlib import nullcontext

    from dynatlas.cli.summary import print_summary
    from dynatlas.pipeline import runner
    from dynatlas.pipeline.progress import Quiet, every_job_noted, progress_on
    from dynatlas.pipeline.workers.cluster import job_script
    from dynatlas.pipeline.workers.slurm import Slurm
    from dynatlas.study.study import Study

    slurm = Slurm.load(cluster) if cluster else None
    if show_job_script:
        if slurm is None:
            raise DynatlasError("--show-job-script needs --cluster with a TOML file")
        print(job_script(slurm), end="")
        return
    loaded = Study.load(study)
    folder = out or Path("atlases") / _file_name(loaded)
    with (
        nullcontext(Quiet()) if quiet else progress_on(Console(stderr=True)) as progress,
        every_job_noted(progress) if verbose else nullcontext(),
    ):
        atlas = runner.run(
            loaded,
            folder,
            workers=workers,
            scheduler=scheduler,
            slurm=slurm,
            progress=progress,
            until=until,
            reuse=reuse,
        )
    if until is None:
        print_summary(atlas, Console())


@app.command
def tuned(*atlases: AtlasFolder) -> None:
    """Print the settings that hyperparameter searches chose, as a CSV table that another study can use.

    Args:
        atlases: The atlas folders of studies with a search. If several searched a configuration, the first whose choice
            passes counts; if none does, the one with the smallest error.
    """
    from dynatlas.atlas.atlas import Atlas
    from dynatlas.study.files import as_csv

    if not atlases:
        raise AtlasError("name at least one atlas of a study that searches")
    searches = []
    for atlas in atlases:
        opened = Atlas.open(atlas)
        if opened.study.search is None:
            raise AtlasError(f"the study of {atlas} does not search; expected a study with a table [search]")
        samples = opened.join_parts("samples")
        errors = zip(samples.task, samples.mse, samples.r2, strict=True)
        passed = [opened.study.task(str(task)).passes(float(mse), float(r2)) for task, mse, r2 in errors]
        searches.append(samples.assign(passed=passed))
    print(as_csv(searches, f"dynatlas tuned {' '.join(atlas.name for atlas in atlases)}"), end="")


@app.command
def status(atlas: AtlasFolder, /, *, as_json: Json = False) -> None:
    """Show the progress and the speed of a run, also from another terminal while it runs.

    Args:
        atlas: The atlas folder.
        as_json: Print JSON for scripts.
    """
    from dynatlas.atlas.atlas import Atlas
    from dynatlas.pipeline.jobs import jobs_of
    from dynatlas.pipeline.status import age, progress_of, seems_gone

    opened = Atlas.open(atlas)
    stages: dict[str, dict[str, int]] = {}
    entries = opened.entries
    for job in jobs_of(opened.study):
        counts = stages.setdefault(job.stage, {"done": 0, "total": 0})
        counts["done"] += job.is_done(entries)
        counts["total"] += 1
    finished = all(counts["done"] == counts["total"] for counts in stages.values())
    progress = progress_of(opened)
    if as_json:
        latest = progress | {"age": age(progress), "seems_gone": seems_gone(progress)} if progress else None
        print(json.dumps({"study": opened.study.name, "finished": finished, "stages": stages, "run": latest}))
        return
    for stage, counts in stages.items():
        print(f"{stage:<14} {counts['done']:>4} of {counts['total']} jobs done")
    if finished:
        print("finished")
        return
    if progress:
        _print_progress(progress)
    if not progress or progress["state"] != "running" or seems_gone(progress):
        print(f"not finished; to resume: dynatlas run {atlas / 'study.toml'} {atlas}")


@app.command
def verify(atlas: AtlasFolder, /, *, repair: bool = False, as_json: Json = False) -> None:
    """Check the hash of every complete entry of an atlas.

    Args:
        atlas: The atlas folder.
        repair: Remove damaged entries from the manifest, so that the next run recomputes them.
        as_json: Print JSON for scripts.
    """
    from dynatlas.atlas.atlas import Atlas
    from dynatlas.pipeline.jobs import to_redo

    opened = Atlas.open(atlas)
    problems = opened.verify()
    damaged = [problem for problem in problems if problem.what != "unknown"]
    if repair and damaged:
        with opened.lock():
            opened.discard(*to_redo(opened.study, [problem.name for problem in damaged]))
    if as_json:
        found = [{"name": problem.name, "what": problem.what} for problem in problems]
        print(json.dumps({"entries": len(opened.entries), "problems": found}))
    else:
        for problem in problems:
            print(f"{problem.what}: {problem.name if problem.name.isprintable() else ascii(problem.name)}")
        print(f"{len(opened.entries)} entries checked, {len(damaged)} damaged")
    if damaged and not repair:
        raise DamagedAtlasError(
            f"{len(damaged)} entries of {atlas} are damaged; `dynatlas verify --repair {atlas}`, then resume the run"
        )


@app.command
def report(atlas: AtlasFolder, /) -> None:
    """Rebuild the figures and the page from the stored tables, and print the path of the page.

    Args:
        atlas: The atlas folder.
    """
    from dynatlas.cli.summary import print_summary
    from dynatlas.pipeline.runner import rebuild_report

    opened = _finished(atlas)
    rebuild_report(opened)
    print_summary(opened, Console())


@app.command
def claims(atlas: AtlasFolder, /, *, as_json: Json = False) -> None:
    """Print the verdict on each claim of the literature, with its number, interval and source.

    Args:
        atlas: The atlas folder.
        as_json: Print JSON for scripts.
    """
    from dynatlas.cli.summary import print_claims

    opened = _finished(atlas)
    if as_json:
        print(opened.table("claims").to_json(orient="records"))
    else:
        print_claims(opened, Console(highlight=False))


@app.command
def excerpt(
    atlas: AtlasFolder,
    folder: Path,
    /,
    *,
    keep: Annotated[list[str] | None, Parameter(consume_multiple=True, negative="")] = None,
) -> None:
    """Copy the tables and distances of an atlas, without networks, to a folder that is small enough to publish.

    The folder is an atlas, on which the commands work that need nothing else: claims, figures, export.

    Args:
        atlas: The atlas folder.
        folder: A new or empty folder, or an excerpt of the same study, to which what it lacks is added.
        keep: Which entries, where * matches anything; by default "tables/*" "arrays.zarr/distances/*".
    """
    from dynatlas.atlas.atlas import EXCERPT

    copy = _finished(atlas).excerpt(folder, keep or EXCERPT)
    size = sum(entry.bytes for entry in copy.entries.values())
    print(f"{folder}: {len(copy.entries)} entries, {size / 1e6:.1f} MB")


app.command(figure_commands.figures)


app.command(network_commands.analyze)


app.command(continuation_commands.continue_, name="continue")


app.command(lesion_commands.lesion)


app.command(network_commands.convert)


app.command(network_commands.export)


app.command(recording_commands.probe)


app.command(recording_commands.place)


app.command(doctor_command.doctor)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line, and convert errors to messages and exit codes."""
    with unfailing_errors():
        _main(arguments)


def _main(arguments: list[str] | None) -> None:
    try:
        app(arguments)
        if sys.stdout is not None:
            sys.stdout.flush()
    except DynatlasError as error:
        if error.__cause__ is not None and not isinstance(error.__cause__, OSError | ValueError):
            traceback.print_exception(error.__cause__)  # a bug, not a user's error
        print(f"dynatlas: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        drop_output(sys.stdout)
        sys.exit(1)
    except OSError as error:
        if error.filename is not None or error.errno not in (errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EBADF):
            raise
        drop_output(sys.stdout)
        print(f"dynatlas: cannot write the output: {error.strerror}", file=sys.stderr)
        sys.exit(1)


def _finished(folder: Path) -> "Atlas":
    """Open an atlas that is complete except for its report."""
    from dynatlas.atlas.atlas import Atlas

    atlas = Atlas.open(folder)
    if not atlas.has("tables/claims.parquet"):
        raise AtlasError(f"{folder} is not finished; resume with: dynatlas run {folder / 'study.toml'} {folder}")
    return atlas


def _file_name(study: "Study") -> str:
    """Convert the study's name to a folder name of letters, digits, dots, dashes and underscores."""
    kept = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in study.name).strip("-.")
    return kept or "study"


def _print_progress(progress: Mapping[str, Any]) -> None:
    """Print the progress of the current or the last run."""
    from dynatlas.pipeline.status import age, seems_gone

    process = f"process {progress['pid']} on {progress['host']}"
    updated = f"{duration(age(progress))} ago"
    if seems_gone(progress):
        print(f"the run ({process}) seems to be gone: last update {updated}")
        return
    if progress["state"] != "running":
        print(f"the last run ({process}) {progress['state']} {updated}")
        return
    print(f"running ({process}); as of {updated}:")
    training = progress["stages"].get("training", {"done": 0, "total": 0})
    print(f"  {training['done']} of {training['total']} networks trained")
    for block, latest in progress["blocks"].items():
        loss = "–" if latest["loss"] is None else f"{latest['loss']:.4g}"
        print(f"  {block}: {latest['iterations']:,} of {latest['of']:,} iterations, loss {loss}")
    if progress["networks_per_hour"]:
        print(
            f"  {progress['networks_per_hour']:,.3g} networks per hour, {progress['iterations_per_second']:,.3g} "
            f"iterations per second; about {duration(progress['training_seconds_left'])} of training left"
        )
