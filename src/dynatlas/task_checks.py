"""Former name of ``dynatlas.tasks.checks``. Plug-ins import it, and their bytes are hashed into ids."""

from dynatlas.tasks.checks import check_task

__all__ = ["check_task"]
