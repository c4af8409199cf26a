"""dynatlas: train populations of recurrent networks, find what each computes, map how alike they are.

What is exported stands in ``__init__.pyi``. It is imported when it is first used: a command, or a worker, does not wait
for what it does not need.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
