"""Call of the command line from tests."""

from dynatlas.cli.main import main


def call(*arguments):
    """Run the command line; return its exit code."""
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as exit_:
        return exit_.code or 0
    return 0
