"""Workers: local processes, a Dask scheduler, SLURM jobs. Only this package knows Dask."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # for annotations elsewhere; importing distributed takes half a second
    from distributed import Client as Client
    from distributed import Future as Future
