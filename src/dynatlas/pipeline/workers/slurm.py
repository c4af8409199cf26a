"""SLURM settings: a small TOML file, validated, and the parameters of the job script."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import ByteSize, Field, ValidationError, field_validator, model_validator

from dynatlas.errors import DynatlasError
from dynatlas.study.files import explain
from dynatlas.study.settings import Settings

# Seconds before the walltime at which a worker leaves, to save a checkpoint; at most a fifth of the walltime.
MARGIN = 120


class Adaptive(Settings):
    """Limits of an adaptive number of SLURM jobs."""

    minimum: Annotated[int, Field(ge=1)] = 1  # the run checks one worker before it submits jobs
    maximum: Annotated[int, Field(ge=1)]

    @model_validator(mode="after")
    def _in_order(self) -> "Adaptive":
        if self.minimum > self.maximum:
            raise ValueError(f"minimum is {self.minimum} and maximum {self.maximum}; expected minimum ≤ maximum")
        return self


class Slurm(Settings):
    """Settings of the SLURM jobs that workers run in."""

    jobs: Annotated[int, Field(ge=1)] | None = None
    adaptive: Adaptive | None = None  # instead of a fixed number
    cores: Annotated[int, Field(ge=1)] = 1  # per job
    processes: Annotated[int, Field(ge=1)] | None = None  # per job, one thread each; by default one per core or GPU
    gpus: Annotated[int, Field(ge=0)] = 0  # per job
    memory: Annotated[ByteSize, Field(ge=2**20)]  # per job
    walltime: str
    queue: str | None = None  # SLURM's partition
    account: str | None = None
    interface: str | None = None  # of the network, such as "ib0"
    directives: tuple[str, ...] = ()  # further #SBATCH lines, such as "--constraint=avx512"
    prologue: tuple[str, ...] = ()  # shell lines before the worker starts

    @field_validator("walltime")
    @classmethod
    def _readable(cls, text: str) -> str:
        if not re.fullmatch(r"(\d+-)?\d+(:\d+){0,2}", text) or not _seconds(text):
            raise ValueError('expected a time as SLURM reads it, such as "12:00:00" or "2-00:00:00"')
        return text

    @model_validator(mode="after")
    def _consistent(self) -> "Slurm":
        if (self.jobs is None) == (self.adaptive is None):
            raise ValueError("expected one of jobs (a fixed number) and [adaptive] (minimum, maximum)")
        if self.gpus and self.processes not in (None, self.gpus):
            raise ValueError(
                f"processes is {self.processes} and gpus {self.gpus}; expected one process per GPU: leave it out"
            )
        if self.worker_processes > self.cores:
            raise ValueError(f"cores is {self.cores}; expected at least {self.worker_processes}, one for each process")
        return self

    @property
    def worker_processes(self) -> int:
        """Workers per job."""
        return self.processes or self.gpus or self.cores

    @classmethod
    def load(cls, path: str | Path) -> "Slurm":
        """Read a cluster file.

        Raises:
            DynatlasError: no such file, not TOML, an unknown key (with the nearest valid one), or a bad value.
        """
        try:
            data = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise DynatlasError(
                f"cannot read the cluster file {str(path)!r}: {getattr(error, 'strerror', None) or error}"
            ) from None
        except tomllib.TOMLDecodeError as error:
            raise DynatlasError(f"{path} is not valid TOML: {error}") from None
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            lines = [explain(item, _valid_keys, "cluster") for item in error.errors()]
            raise DynatlasError(f"{path} is not a valid cluster file:\n  " + "\n  ".join(lines)) from None

    def job_arguments(self, environment: Mapping[str, str]) -> dict[str, Any]:
        """The arguments of dask-jobqueue's SLURMCluster and SLURMJob.

        Its ``cores`` are the threads of all workers together; SLURM's are ``job_cpu``.
        """
        time = _seconds(self.walltime)
        lifetime = time - min(MARGIN, time // 5)
        return {
            "job_name": "dynatlas",
            "cores": self.worker_processes,
            "processes": self.worker_processes,
            "job_cpu": self.cores,
            "memory": f"{int(self.memory)}B",
            "walltime": self.walltime,
            "queue": self.queue,
            "account": self.account,
            "interface": self.interface,
            "job_extra_directives": [*([f"--gres=gpu:{self.gpus}"] if self.gpus else []), *self.directives],
            # First, so that the user's lines can override them.
            "job_script_prologue": [
                *(f"export {name}={value}" for name, value in environment.items()),
                *self.prologue,
            ],
            "worker_extra_args": ["--lifetime", f"{lifetime}s"],
        }


def _seconds(walltime: str) -> int:
    """Convert SLURM's M, M:S, H:M:S, D-H, D-H:M or D-H:M:S to seconds."""
    days, _, clock = walltime.rpartition("-")
    parts = [int(part) for part in clock.split(":")]
    if days:
        hours, minutes, seconds = [*parts, 0, 0][:3]
    else:
        hours, minutes, seconds = parts if len(parts) == 3 else [0, *parts, 0][:3]
    return int(days or 0) * 86_400 + hours * 3600 + minutes * 60 + seconds


def _valid_keys(location: Sequence[Any]) -> list[str]:
    return list((Adaptive if location else Slurm).model_fields)
