"""Errors that a user can correct, each with its exit code on the command line."""

from typing import Final

LONGEST: Final = 500  # characters of a message


class DynatlasError(Exception):
    """Base class. The message states the value seen, what was expected, and what to do.

    Values come from files that anybody may have written, so a message of more than 500 characters loses its middle.
    """

    exit_code = 1

    def __init__(self, message: str = "", *more: object) -> None:
        super().__init__(shortened(message, LONGEST), *more)


def shortened(text: str, longest: int) -> str:
    """Replace the middle of a text that is longer than ``longest`` characters by “ … ”.

    Example:
        >>> shortened("a" * 10 + "b" * 10, 11)
        'aaaaaa … bb'
    """
    if len(text) <= longest:
        return text
    end = longest // 4
    return f"{text[: longest - end - 3]} … {text[-end:]}"


class StudyError(DynatlasError):
    """A study file is missing, malformed, or asks for something impossible."""

    exit_code = 3


class PluginError(StudyError):
    """The code of a user-defined task, cell or measure is missing or cannot be imported."""


class AtlasError(DynatlasError):
    """A folder is not an atlas, cannot be written, or is being written by another process."""

    exit_code = 4


class DifferentStudyError(AtlasError):
    """A folder holds the result of another study."""

    exit_code = 5


class DamagedAtlasError(AtlasError):
    """A file of an atlas is missing, truncated, or differs from the hash in the manifest."""

    exit_code = 6


class NetworkError(DynatlasError):
    """A file of a network or of its activity cannot be read, is unsafe, or does not fit."""

    exit_code = 8


class UnknownFigureError(DynatlasError):
    """No figure has this name."""

    exit_code = 2


class Interrupted(DynatlasError):  # noqa: N818 - not an error
    """A run was interrupted; its finished jobs are in the atlas."""

    exit_code = 130


class Stopped(DynatlasError):  # noqa: N818 - not an error
    """A job or a run stopped on request after writing checkpoints; the next run resumes from them."""

    exit_code = 7
