"""What of the studies the command line and a server build alike."""

from __future__ import annotations

from pathlib import Path

from fovea_server.studies.database import Database, url_of
from fovea_server.studies.observations import Observations
from fovea_server.studies.readouts import Readouts
from fovea_server.studies.store import Store
from fovea_server.studies.truth import NothingKnown, Truth


def readouts_of(url: str, state: Path, truth: Truth | None = None) -> Readouts:
    """`url` "" is a file in the state folder. Raises StartError for what is no database."""
    database = Database(url_of(url, state))
    return Readouts(Store(database), Observations(database), truth or NothingKnown())
