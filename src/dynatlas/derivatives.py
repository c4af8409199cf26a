"""Former name of ``dynatlas.cells.derivatives``. Plug-ins import it, and their bytes are hashed into ids."""

from dynatlas.cells.derivatives import Kept, Step, register_derivative

__all__ = ["Kept", "Step", "register_derivative"]
