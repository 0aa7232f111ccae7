"""Whom the doorkeeper turns away: callers who may ask, and for whom the waiting room is full."""

from __future__ import annotations

from fovea_server.access.guard import Guard
from fovea_server.access.keys import Scope
from fovea_server.domain import ANYONE, Caller, Priority
from fovea_server.edge.doorkeeper import Headers, header
from fovea_server.errors import FoveaError
from fovea_server.metrics import Metrics
from fovea_server.request.admission import Admission
from fovea_server.request.gate import Gate


class EarlyRefusals:
    """A `Refusal` of the doorkeeper's. Who shows no good key is none of its business: it is told so where all are, and
    neither takes a place before the room nor keeps an overload going."""

    def __init__(self, admission: Admission, gate: Gate, guard: Guard | None, metrics: Metrics) -> None:
        self._admission = admission
        self._gate = gate
        self._guard = guard
        self._metrics = metrics

    def __call__(self, size: int, priority: Priority, headers: Headers) -> FoveaError | None:
        if size > self._gate.max_bytes or not self._admission.is_overloaded:
            return None
        try:
            caller = self._caller(headers)
        except FoveaError:
            return None
        error = self._admission.refusal_unread(priority, caller.name)
        if error is not None:
            self._metrics.refused(error.reason)
        return error

    def _caller(self, headers: Headers) -> Caller:
        if self._guard is None:
            return ANYONE
        authorization, x_api_key = (header(headers, name) for name in (b"authorization", b"x-api-key"))
        return self._guard.caller_of(_text(authorization), _text(x_api_key), Scope.INFER)


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")
