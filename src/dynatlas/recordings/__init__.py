"""Recordings of others: activity out of files, and which of a probe's samples each of its rows is."""

from dynatlas.recordings.alignment import Aligned as Aligned
from dynatlas.recordings.alignment import Rows as Rows
from dynatlas.recordings.alignment import align as align
from dynatlas.recordings.probe import Probe as Probe
from dynatlas.recordings.probe import probe_of as probe_of
from dynatlas.recordings.probe import write_probe as write_probe
from dynatlas.recordings.reading import Recording as Recording
from dynatlas.recordings.reading import read_labels as read_labels
from dynatlas.recordings.reading import read_recording as read_recording
