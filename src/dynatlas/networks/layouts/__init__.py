"""Layouts of weights in files of other libraries: names of arrays → roles in the equations."""
