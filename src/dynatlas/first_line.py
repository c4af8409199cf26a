"""What somebody else's code raised, in one line."""


def first_line(error: Exception) -> str:
    """The first line of an error's message: JAX's go on for many."""
    return str(error).strip().split("\n")[0]
