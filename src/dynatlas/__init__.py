"""dynatlas: train populations of recurrent networks, find what each computes, map how alike they are.

``__init__.pyi`` lists the exported names. Each is imported on first use, so that commands and workers start quickly.
"""

from importlib import metadata

import lazy_loader

__version__ = metadata.version("dynatlas")
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
