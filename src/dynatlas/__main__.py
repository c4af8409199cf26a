"""Run the command line: ``python -m dynatlas``."""

from dynatlas.cli import main

main()
