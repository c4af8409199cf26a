"""What a pickle holds, without unpickling it."""

import pickletools
from typing import Final

# How the pickle of an array ends whose only element is None.
_END: Final = ["EMPTY_LIST", "NONE", "APPEND", "TUPLE", "BUILD", "STOP"]


def is_pickled_none(pickled: bytes) -> bool:
    """Whether these bytes are what NumPy writes for an array of the object None. Nothing is unpickled.

    Example:
        >>> import io
        >>> import numpy as np
        >>> def written(value):
        ...     np.lib.format.write_array(file := io.BytesIO(), np.array(value, object))
        ...     return file.getvalue()[128:]
        >>> [is_pickled_none(written(value)) for value in (None, 1, True, "text", {})]
        [True, False, False, False, False]
    """
    try:
        names = [code.name for code, _, _ in pickletools.genops(pickled)]
    except Exception:  # whatever a damaged pickle makes of its parser
        return False
    return [name for name in names if name != "MEMOIZE" and "PUT" not in name][-len(_END) :] == _END
