"""docs/feature-log.md has every column and every option, and says their defaults."""

from __future__ import annotations

import re

import pyarrow as pa
import pytest
from tests.conftest import ROOT

from fovea_server.cli.log_places import Location
from fovea_server.feature_log import frames, rows, schema
from fovea_server.feature_log.settings import FeatureLogSettings

TEXT = (ROOT / "docs/feature-log.md").read_text()


@pytest.mark.parametrize(
    ("name", "described"), [("records", schema.RECORDS), ("feedback", schema.FEEDBACK), ("truth", schema.TRUTH)]
)
def test_every_column_has_its_row_with_its_type_and_meaning(name: str, described: pa.Schema) -> None:
    table = TEXT.partition(f"<!-- {name} -->\n\n")[2].partition("\n\n")[0]
    documented = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    assert documented == [
        [
            f"`{field.name}`",
            f"{field.type}{'' if field.nullable else ', always'}",
            field.metadata[b"meaning"].decode(),
        ]
        for field in described
    ]


def test_the_version_that_is_written_is_the_one_described() -> None:
    assert f"Schema version {schema.VERSION}." in TEXT
    assert rows.SCHEMA_VERSION == schema.VERSION
    assert tuple(schema.BY_KIND) == frames.KINDS


def test_the_defaults_are_those_of_the_settings() -> None:
    kept = FeatureLogSettings()
    said = dict(re.findall(r"^\| `(--[a-z-]+)` \| ([\d.]+)", TEXT, re.MULTILINE))
    assert {name: float(value) for name, value in said.items()} == {
        "--log-embeddings": kept.embeddings,
        "--log-days": kept.days,
        "--log-max-gb": kept.max_bytes / 1e9,
        "--capture": kept.capture,
        "--capture-days": kept.capture_days,
    }
    assert f"{kept.queue_records:,} records and {kept.queue_bytes >> 20} MiB" in TEXT
    assert f"once {kept.spool_bytes >> 30} GiB wait" in TEXT
    assert f"dropped after {kept.grace_days:g} days" in TEXT
    assert Location.__metadata__[0].envvar == "FOVEA_FEATURE_LOG"
