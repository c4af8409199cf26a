"""What a pickle holds, without unpickling it."""

import pickletools
from typing import Final

# How the pickle of an array ends whose only element is None.
_END: Final = ["EMPTY_LIST", "NONE", "APPEND", "TUPLE", "BUILD", "STOP"]


def is_pickled_none(pickled: bytes) -> bool:
    """Whether these bytes are what NumPy writes for an array of the object None. Nothing is unpickled."""
    try:
        names = [code.name for code, _, _ in pickletools.genops(pickled)]
    except Exception:  # whatever a damaged pickle makes of its parser
        return False
    return [name for name in names if name != "MEMOIZE" and "PUT" not in name][-len(_END) :] == _END
