"""Run the command line: ``python -m dynatlas``."""

from dynatlas.cli.main import main

main()
