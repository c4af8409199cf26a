"""The errors that a user can meet, each with the exit code that the command line gives it."""


class DynatlasError(Exception):
    """Something the user can put right; the message says what was seen, what was expected, what to do."""

    exit_code = 1


class StudyError(DynatlasError):
    """A study file that is missing, malformed, or asks for something impossible."""

    exit_code = 3


class PluginError(StudyError):
    """Code of a task, a cell or a measure that is not ours: it cannot be imported, or is not there."""


class AtlasError(DynatlasError):
    """A folder that is not an atlas, cannot be written, or is being written by someone else."""

    exit_code = 4


class DifferentStudyError(AtlasError):
    """The folder holds the result of another study."""

    exit_code = 5


class DamagedAtlasError(AtlasError):
    """A file of the atlas is missing, truncated, or does not have the hash that the manifest records."""

    exit_code = 6


class NetworkError(DynatlasError):
    """A file of a network, or of its activity, that cannot be read, is not trusted, or does not fit."""

    exit_code = 8


class UnknownFigureError(DynatlasError):
    """A name that no figure has."""

    exit_code = 2


class Interrupted(DynatlasError):  # noqa: N818 - not a fault of anyone's
    """The run was stopped from outside; what was finished is in the atlas."""

    exit_code = 130


class Stopped(DynatlasError):  # noqa: N818 - not a fault of anyone's
    """A job, or a run, was asked to stop; checkpoints are written, and the next run goes on from there."""

    exit_code = 7
