"""Recordings placed among the networks of an atlas: distances, what they are to be held against, a page."""

from dynatlas.placement.folder import write_folder as write_folder
from dynatlas.placement.page import page as page
from dynatlas.placement.place import Placement as Placement
from dynatlas.placement.place import place_recording as place_recording
