"""What a caller is told of an error that is not one of ours, on either face."""

from __future__ import annotations

from fovea_server.errors import FoveaError
from fovea_server.logs import get_logger

_log = get_logger("edge")


def as_ours(error: Exception, request_id: str) -> FoveaError:
    """An error of ours as it is; any other is a fault of ours: logged with its trace, told without it."""
    if isinstance(error, FoveaError):
        return error
    _log.error("unexpected failure", request_id=request_id, exc_info=error)
    return FoveaError(f"an unexpected failure; the server's log has it under {request_id}")
