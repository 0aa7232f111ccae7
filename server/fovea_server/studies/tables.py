"""The tables in which experiments are kept, for SQLite and PostgreSQL alike."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Float, Integer, MetaData, String, Table, Text

metadata = MetaData()

_NAME, _LONG = String(63), String(255)

generation = Table(  # one row, whose number rises with every change: what has not risen need not be read again
    "fovea_generation",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("number", Integer, nullable=False),
)

experiments = Table(
    "fovea_experiments",
    metadata,
    Column("name", _NAME, primary_key=True),
    Column("model", _LONG, nullable=False),
    Column("running_on", _LONG, unique=True),  # the model while it runs: no model is in two experiments
    Column("declaration", JSON, nullable=False),
    Column("state", String(16), nullable=False),
    Column("stages_at", JSON, nullable=False),  # when each stage until now began
    Column("ended", Float),
    Column("answers_with", _NAME),  # the arm that answers since it ended
    Column("version", Integer, nullable=False),  # rises with each change of this row
)

pointers = Table(  # who answers for a model since an experiment ended
    "fovea_pointers",
    metadata,
    Column("model", _LONG, primary_key=True),
    Column("target", _LONG, nullable=False),
    Column("experiment", _NAME, nullable=False),
)

journal = Table(
    "fovea_journal",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", Float, nullable=False, index=True),
    Column("experiment", _NAME, nullable=False, index=True),
    Column("who", _LONG, nullable=False),
    Column("what", Text, nullable=False),
    Column("why", Text, nullable=False),
)

counts = Table(  # what each gateway process counted since it started
    "fovea_counts",
    metadata,
    Column("experiment", _NAME, primary_key=True),
    Column("stage", Integer, primary_key=True, autoincrement=False),
    Column("arm", _NAME, primary_key=True),
    Column("slice", _LONG, primary_key=True),
    Column("process", _LONG, primary_key=True),
    Column("counted", JSON, nullable=False),
)

events = Table(  # the custom events that somebody has reported
    "fovea_events",
    metadata,
    Column("name", _LONG, primary_key=True),
)

readings = Table(  # the interval as it was at a moment, for the report
    "fovea_readings",
    metadata,
    Column("experiment", _NAME, primary_key=True),
    Column("arm", _NAME, primary_key=True),
    Column("at", Float, primary_key=True),
    Column("reading", JSON, nullable=False),
)

disagreements = Table(  # of a shadow: images on which the two arms had another best label
    "fovea_disagreements",
    metadata,
    Column("experiment", _NAME, primary_key=True),
    Column("id", _LONG, primary_key=True),
    Column("at", Float, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("control", Text, nullable=False),
    Column("candidate", Text, nullable=False),
)
