"""Recordings placed among the networks of an atlas: distances, controls, a page.

``__init__.pyi`` lists the exported names. Each is imported on first use: the process that reads a file needs few of
them.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
