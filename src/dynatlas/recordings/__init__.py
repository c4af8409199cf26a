"""Recordings placed among the networks of an atlas: distances, controls, a page."""

from dynatlas.recordings.alignment import Aligned as Aligned
from dynatlas.recordings.alignment import Rows as Rows
from dynatlas.recordings.alignment import align as align
from dynatlas.recordings.page import write_folder as write_folder
from dynatlas.recordings.place import Placement as Placement
from dynatlas.recordings.place import place_recording as place_recording
from dynatlas.recordings.probe import Probe as Probe
from dynatlas.recordings.probe import probe_of as probe_of
from dynatlas.recordings.probe import write_probe as write_probe
from dynatlas.recordings.reading import Recording as Recording
from dynatlas.recordings.reading import read_labels as read_labels
from dynatlas.recordings.reading import read_recording as read_recording
