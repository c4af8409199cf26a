"""What a pickle holds, without unpickling it."""

import pickle
import pickletools

import numpy as np


def is_pickled_none(pickled: bytes) -> bool:
    """Whether these bytes are what NumPy writes for an array of the object None. Nothing is unpickled.

    Example:
        >>> is_pickled_none(pickle.dumps(np.array(None))), is_pickled_none(pickle.dumps(np.array(1, object)))
        (True, False)
    """

    def program(content: bytes) -> list[tuple[str, str]]:
        steps = [
            (code.name, str(argument).replace("numpy.core", "numpy._core"))
            for code, argument, _ in pickletools.genops(content)
        ]
        return [(name, text) for name, text in steps if name not in ("PROTO", "FRAME", "MEMOIZE") and "PUT" not in name]

    try:
        seen = program(pickled)
    except Exception:  # whatever a damaged pickle makes of its parser
        return False
    return any(seen == program(pickle.dumps(np.array(None), protocol)) for protocol in range(2, 6))
