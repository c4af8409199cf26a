"""Errors that a user can correct, each with its exit code on the command line."""


class DynatlasError(Exception):
    """Base class. The message states the value seen, what was expected, and what to do."""

    exit_code = 1


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
