"""One network's fixed points along an input, its weights, or the way to another network: tables and a page."""

from dynatlas.networks.continuation.follow import Continuation as Continuation
from dynatlas.networks.continuation.follow import continue_network as continue_network
from dynatlas.networks.continuation.page import write_folder as write_folder
