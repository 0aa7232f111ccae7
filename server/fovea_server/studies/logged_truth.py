"""The truth as the feature log knows it: records joined with feedback as of now."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from fovea_server.errors import ExperimentsUnavailable
from fovea_server.feature_log import sql
from fovea_server.feature_log.places import Places
from fovea_server.studies.truth import Labelled

if TYPE_CHECKING:
    from fovea_server.feature_log.reading import Reader


class LoggedTruth:
    """Raises ExperimentsUnavailable where the log cannot be read. An answer without feedback is not labelled."""

    is_reported = True

    def __init__(self, places: Places) -> None:
        self._places = places

    def labelled(self, experiment: str, since: float) -> Sequence[Labelled]:
        rows = self._rows(
            "SELECT epoch(time) AS at, arm, unit, correct, slices FROM joined WHERE correct IS NOT NULL",
            only=f"experiment = {sql.text(experiment)}",
            since=datetime.fromtimestamp(since, timezone.utc),
        )
        return [Labelled(slices=_slices(row.pop("slices")), **row) for row in rows]

    def labels(self, ids: Collection[str]) -> Mapping[str, str]:
        if not ids:
            return {}
        rows = self._rows(
            "SELECT id, label FROM joined WHERE label IS NOT NULL", only=f"id IN ({', '.join(map(sql.text, ids))})"
        )
        return {row["id"]: row["label"] for row in rows}

    def image(self, sha256: str) -> bytes | None:
        return self._reader.captured(sha256)

    def _rows(self, sql: str, only: str, since: datetime | None = None) -> list[dict[str, Any]]:
        import duckdb

        try:
            rows: list[dict[str, Any]] = self._reader.query(sql, since=since, only=only).to_pylist()
        except (duckdb.Error, OSError) as error:
            raise ExperimentsUnavailable(
                f"the feature log cannot be read: {str(error)[:200]}", retry_after=5
            ) from error
        return rows

    @functools.cached_property
    def _reader(self) -> Reader:
        """Made when it is first needed: what it stands on takes 0.2 s to import."""
        from fovea_server.feature_log.reading import Reader

        return Reader(self._places, threads=1)


def _slices(said: Any) -> tuple[str, ...]:
    return tuple(f"{name}={value}" for name, value in said or ())
