"""Workers: local processes, a Dask scheduler, SLURM jobs. Only this package knows Dask."""
