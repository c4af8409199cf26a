"""Lesions of one network: silenced units, removed modes and input channels, as a table."""

from dynatlas.networks.lesions.lesion import Lesions as Lesions
from dynatlas.networks.lesions.lesion import lesion as lesion
from dynatlas.networks.lesions.lesion import write_folder as write_folder
