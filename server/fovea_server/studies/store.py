"""Experiments as they are kept, and every change of them: one transaction each, journaled with who, when and why."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Table, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from fovea_server.errors import BadExperiment, ExperimentRefused, UnknownExperiment
from fovea_server.logs import get_logger
from fovea_server.studies import tables
from fovea_server.studies.database import Database
from fovea_server.studies.declaration import Experiment

_log = get_logger("experiments")

DRAFT, RUNNING, STOPPED, PROMOTED, ROLLED_BACK = "draft", "running", "stopped", "promoted", "rolled back"


@dataclass(frozen=True)
class Kept:
    """An experiment and where it stands. Moments are seconds of Unix time.

    stages_at     when it began, and of a canary each of its steps until now
    answers_with  the arm that answers since the experiment ended
    version       rises with each change
    """

    experiment: Experiment
    state: str
    stages_at: tuple[float, ...] = ()
    ended: float | None = None
    answers_with: str | None = None
    version: int = 1

    @property
    def name(self) -> str:
        return self.experiment.name

    @property
    def stage(self) -> int:
        """Of a canary, which of its steps it is at."""
        return max(len(self.stages_at) - 1, 0)

    @property
    def started(self) -> float | None:
        return next(iter(self.stages_at), None)

    @property
    def is_running(self) -> bool:
        return self.state == RUNNING


@dataclass(frozen=True)
class Change:
    """Who changes something, and why."""

    who: str
    why: str


@dataclass(frozen=True)
class Entry:
    """A line of the journal."""

    at: float
    experiment: str
    who: str
    what: str
    why: str


class Store:
    """Raises ExperimentsUnavailable where the database does not answer, UnknownExperiment for a name it does not have,
    and ExperimentRefused where a change does not go with how things stand."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._unreadable: set[str] = set()

    def generation(self) -> int:
        """Rises with every change."""
        with self.database.read() as connection:
            return connection.execute(select(tables.generation.c.number)).scalar() or 0

    def all(self) -> list[Kept]:
        """In the order of their names. One that cannot be read, declared by a newer server perhaps, is left out, and
        the log says so once."""
        with self.database.read() as connection:
            rows = connection.execute(select(tables.experiments).order_by(tables.experiments.c.name)).all()
        return [kept for row in rows if (kept := self._readable(row))]

    def _readable(self, row: Row[Any]) -> Kept | None:
        try:
            return _kept(row)
        except BadExperiment as error:
            if row.name not in self._unreadable:
                _log.warning("an experiment cannot be read", experiment=row.name, reason=str(error))
            self._unreadable.add(row.name)
            return None

    def get(self, name: str) -> Kept:
        with self.database.read() as connection:
            return _get(connection, name)

    def pointers(self) -> dict[str, str]:
        """Who answers for a model since an experiment ended."""
        with self.database.read() as connection:
            rows = connection.execute(select(tables.pointers.c.model, tables.pointers.c.target))
            return {model: target for model, target in rows}  # noqa: C416 - rows are not pairs to dict()

    def journal(self, name: str | None = None) -> list[Entry]:
        table = tables.journal
        chosen = select(table.c.at, table.c.experiment, table.c.who, table.c.what, table.c.why).order_by(table.c.id)
        with self.database.read() as connection:
            rows = connection.execute(chosen if name is None else chosen.where(table.c.experiment == name))
            return [Entry(*row) for row in rows]

    def create(self, experiment: Experiment, change: Change) -> Kept:
        """A draft; one of that name is replaced unless it has ever run."""
        row = {"model": experiment.model, "declaration": experiment.to_mapping(), "state": DRAFT}
        with self.database.write() as connection:
            before = _find(connection, experiment.name)
            if before and before.state != DRAFT:
                raise ExperimentRefused(
                    f"name: {experiment.name} is {before.state} and stays as it is; declare it under another name"
                )
            if before:
                _update(connection, before, row)
            else:
                new = {"name": experiment.name, "stages_at": [], "version": 1}
                connection.execute(insert(tables.experiments).values(new | row))
            _note(connection, experiment.name, change, "changed" if before else "created")
        return self.get(experiment.name)

    def start(self, kept: Kept, change: Change) -> Kept:
        """From now on units are assigned."""
        if kept.state != DRAFT:
            raise ExperimentRefused(f"name: {kept.name} is {kept.state} and cannot be started")
        values = {"state": RUNNING, "running_on": kept.experiment.model, "stages_at": [time.time()]}
        with self.database.write() as connection:
            _refuse_two_on_one_model(connection, kept.experiment)
            try:
                _update(connection, kept, values)
            except IntegrityError as error:
                raise ExperimentRefused(f"model: {kept.experiment.model} is in another experiment") from error
            _note(connection, kept.name, change, "started")
        return self.get(kept.name)

    def advance(self, kept: Kept, change: Change) -> Kept:
        """A canary to the next of its steps."""
        share = kept.experiment.canary.steps[kept.stage + 1]
        with self.database.write() as connection:
            _update(connection, kept, {"stages_at": [*kept.stages_at, time.time()]})
            _note(connection, kept.name, change, f"the candidate's share is now {share:.0%}")
        return self.get(kept.name)

    def stop(self, kept: Kept, change: Change) -> Kept:
        """Everybody meets the control again, and nothing is decided."""
        return self._end(kept, STOPPED, kept.experiment.control.name, change, may=(RUNNING,))

    def promote(self, kept: Kept, arm: str, change: Change) -> Kept:
        """Everybody meets that arm from now on."""
        return self._end(kept, PROMOTED, arm, change, may=(RUNNING, STOPPED, ROLLED_BACK))

    def roll_back(self, kept: Kept, change: Change) -> Kept:
        """Everybody meets the control again: of a running experiment, or of one whose candidate was promoted."""
        return self._end(kept, ROLLED_BACK, kept.experiment.control.name, change, may=(RUNNING, PROMOTED))

    def _end(self, kept: Kept, state: str, arm: str, change: Change, may: tuple[str, ...]) -> Kept:
        if kept.state not in may:
            raise ExperimentRefused(
                f"name: {kept.name} is {kept.state}; that goes only with one that is {' or '.join(may)}"
            )
        answers = kept.experiment.arm(arm)
        values = {"state": state, "running_on": None, "ended": kept.ended or time.time(), "answers_with": arm}
        with self.database.write() as connection:
            if not kept.is_running:
                _refuse_two_on_one_model(connection, kept.experiment)
            _update(connection, kept, values)
            _point(connection, kept.experiment, answers.target)
            _note(
                connection, kept.name, change, f"{state}; {arm} ({answers.target}) answers for {kept.experiment.model}"
            )
        return self.get(kept.name)

    def note(self, name: str, what: str, change: Change) -> None:
        """In the journal alone."""
        with self.database.write() as connection:
            _note(connection, name, change, what)


def _refuse_two_on_one_model(connection: Connection, experiment: Experiment) -> None:
    """And an experiment on a model must begin with who answers for it."""
    table = tables.experiments
    other = connection.execute(select(table.c.name).where(table.c.running_on == experiment.model)).scalar()
    if other is not None and other != experiment.name:
        raise ExperimentRefused(
            f"model: {experiment.model} is in the running experiment {other}; two on one model would disturb each other"
        )
    pointers = tables.pointers
    row = connection.execute(select(pointers).where(pointers.c.model == experiment.model)).first()
    if row and row.experiment != experiment.name and row.target != experiment.control.target:
        raise ExperimentRefused(
            f"arms[0].model: the control is {experiment.control.target}, but since the experiment {row.experiment} "
            f"{row.target} answers for {experiment.model}; the control must be who answers now"
        )


def _point(connection: Connection, experiment: Experiment, target: str) -> None:
    connection.execute(delete(tables.pointers).where(tables.pointers.c.model == experiment.model))
    if target != experiment.model:
        connection.execute(
            insert(tables.pointers).values(model=experiment.model, target=target, experiment=experiment.name)
        )


def _update(connection: Connection, kept: Kept, values: Mapping[str, Any]) -> None:
    """Only if nobody changed it since it was read."""
    table = tables.experiments
    unchanged = (table.c.name == kept.name) & (table.c.version == kept.version)
    done = connection.execute(update(table).where(unchanged).values(**values, version=kept.version + 1))
    if done.rowcount != 1:
        raise ExperimentRefused(f"name: {kept.name} was changed by somebody else at the same moment; look at it again")


def _note(connection: Connection, experiment: str, change: Change, what: str) -> None:
    """In the journal, and for everybody who polls."""
    entry = Entry(time.time(), experiment, change.who[:255], what, change.why)
    connection.execute(insert(tables.journal).values(dataclasses.asdict(entry)))
    number = tables.generation.c.number
    if not connection.execute(update(tables.generation).values(number=number + 1)).rowcount:
        connection.execute(insert(tables.generation).values(id=1, number=1))


def _get(connection: Connection, name: str) -> Kept:
    if found := _find(connection, name):
        return found
    names: Sequence[str] = connection.execute(select(tables.experiments.c.name)).scalars().all()
    raise UnknownExperiment(f"there is no experiment {name[:80]!r}; there are: {', '.join(sorted(names)) or 'none'}")


def _find(connection: Connection, name: str) -> Kept | None:
    row = connection.execute(select(tables.experiments).where(tables.experiments.c.name == name)).first()
    return _kept(row) if row else None


def _kept(row: Row[Any]) -> Kept:
    return Kept(
        Experiment.read(row.declaration),
        row.state,
        tuple(row.stages_at),
        row.ended,
        row.answers_with,
        row.version,
    )


def upsert(connection: Connection, table: Table, row: Mapping[str, Any]) -> None:
    """In words that both databases know; within one transaction of one writer of that row."""
    keys = {column.name: row[column.name] for column in table.primary_key}
    same = [table.c[name] == value for name, value in keys.items()]
    if not connection.execute(update(table).where(*same).values(**row)).rowcount:
        connection.execute(insert(table).values(**row))
