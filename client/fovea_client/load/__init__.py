"""Load for a running server, as little of it as possible the generator's own: `fovea bench` and `make bench` use it.

Closed loop: so many callers, each asking for the next image once it has its answer. Open loop: requests arrive at a
constant rate whatever the answers do, and a latency counts from the moment that a request was due.
"""

from fovea_client.load.errors import BenchmarkError, LoadFailed, NoPhotographs
from fovea_client.load.measured import Load
from fovea_client.load.photographs import Photograph
from fovea_client.load.schedule import Closed, Open, Way

__all__ = ["BenchmarkError", "Closed", "Load", "LoadFailed", "NoPhotographs", "Open", "Photograph", "Way"]
