"""Former name of ``dynatlas.tasks.neurogym``. Plug-ins import it, and their bytes are hashed into ids."""

from dynatlas.tasks.neurogym import NeuroGym

__all__ = ["NeuroGym"]
