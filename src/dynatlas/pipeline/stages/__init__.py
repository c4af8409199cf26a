"""The computation of each job: read from the atlas, call the analyses, write, return the entries.

These functions run in worker processes. Each opens the atlas by its path, writes its files, and returns their entries;
only the main process enters them in the manifest (see ``pipeline.runner``). Results depend only on the study, not on
the worker, the order, or earlier jobs.
"""
