"""What is known of experiments besides their declaration: counts of every process, events, readings, disagreements."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, func, select

from fovea_server.studies import tables
from fovea_server.studies.counts import Counts, Place
from fovea_server.studies.database import Database
from fovea_server.studies.store import upsert

_MOST_DISAGREEMENTS = 10_000  # kept of one experiment


@dataclass(frozen=True)
class Disagreement:
    """An image, by the request's id and its SHA-256, on which the two arms had another best label."""

    experiment: str
    id: str
    at: float
    sha256: str
    control: str
    candidate: str


@dataclass(frozen=True)
class Reading:
    """The interval of a candidate at a moment, in Unix seconds."""

    at: float
    estimate: float
    lower: float
    upper: float
    control: int
    candidate: int


class Observations:
    """Raises ExperimentsUnavailable where the database does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def give(
        self,
        process: str,
        counted: Mapping[Place, Counts],
        events: Iterable[str] = (),
        disagreements: Iterable[Disagreement] = (),
    ) -> None:
        """What a process counted since it started, in place of what it gave before; and what it saw since then."""
        with self._database.write() as connection:
            for place, counts in counted.items():
                row = {**place._asdict(), "process": process, "counted": counts.to_json()}
                upsert(connection, tables.counts, row)
            for name in events:
                upsert(connection, tables.events, {"name": name})
            for each in disagreements:
                if _kept_of(connection, each.experiment) < _MOST_DISAGREEMENTS:
                    upsert(connection, tables.disagreements, asdict(each))

    def counted(self, experiment: str) -> dict[Place, Counts]:
        """By all processes that ever counted."""
        table = tables.counts
        found: dict[Place, Counts] = {}
        with self._database.read() as connection:
            for row in connection.execute(select(table).where(table.c.experiment == experiment)):
                place = Place(row.experiment, row.stage, row.arm, row.slice)
                found.setdefault(place, Counts()).__iadd__(Counts.from_json(row.counted))
        return found

    def units(self, experiment: str, arms: Sequence[str], stage: int) -> list[list[int]]:
        """How many units met each arm, by each process that counted them."""
        table = tables.counts
        chosen = select(table).where(table.c.experiment == experiment, table.c.stage == stage, table.c.slice == "")
        found: dict[str, list[int]] = {}
        with self._database.read() as connection:
            for row in connection.execute(chosen):
                if row.arm in arms:
                    found.setdefault(row.process, [0] * len(arms))[arms.index(row.arm)] = row.counted.get("units", 0)
        return list(found.values())

    def events(self) -> set[str]:
        """That somebody has reported."""
        with self._database.read() as connection:
            return set(connection.execute(select(tables.events.c.name)).scalars())

    def add_reading(self, experiment: str, arm: str, reading: Reading) -> None:
        row = {"experiment": experiment, "arm": arm, "at": reading.at, "reading": asdict(reading)}
        with self._database.write() as connection:
            upsert(connection, tables.readings, row)

    def readings(self, experiment: str, arm: str) -> list[Reading]:
        """In the order of time."""
        table = tables.readings
        chosen = (
            select(table.c.reading).where(table.c.experiment == experiment, table.c.arm == arm).order_by(table.c.at)
        )
        with self._database.read() as connection:
            return [Reading(**reading) for reading in connection.execute(chosen).scalars()]

    def disagreements(self, experiment: str) -> list[Disagreement]:
        """The latest first."""
        table = tables.disagreements
        chosen = select(table).where(table.c.experiment == experiment).order_by(table.c.at.desc())
        with self._database.read() as connection:
            return [Disagreement(**row._mapping) for row in connection.execute(chosen)]


def _kept_of(connection: Connection, experiment: str) -> int:
    table = tables.disagreements
    chosen = select(func.count()).select_from(table).where(table.c.experiment == experiment)
    return connection.execute(chosen).scalar() or 0
