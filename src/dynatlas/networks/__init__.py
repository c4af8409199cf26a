"""Networks trained with other libraries, read from files as step functions."""

from dynatlas.networks.callbacks import numpy_step as numpy_step
from dynatlas.networks.callbacks import torch_step as torch_step
from dynatlas.networks.checking import Check as Check
from dynatlas.networks.checking import check as check
from dynatlas.networks.exporting import export_network as export_network
from dynatlas.networks.network import Network as Network
from dynatlas.networks.reading import read_network as read_network
