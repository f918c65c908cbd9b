"""What the server writes down: one line of JSON for each event, for people and for machines that collect them.

{"time":"2026-03-01T12:00:00.123Z","level":"INFO","event":"request","id":"7f-1","path":"/classify","status":200,…}
"""

import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any

import msgspec

log = logging.getLogger("servelab")

_ORDINARY = set(logging.makeLogRecord({}).__dict__) | {"message", "taskName"}


class JsonLines(logging.Formatter):
    """A record's message is its event; what was given as ``extra`` stands beside it."""

    def format(self, record: logging.LogRecord) -> str:
        told: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC)
            .isoformat(timespec="milliseconds")
            .replace("+00:00", "Z"),
            "level": record.levelname,
            "event": record.getMessage(),
        }
        told |= {name: value for name, value in record.__dict__.items() if name not in _ORDINARY}
        if record.exc_info and record.exc_info[1] is not None:
            told["error"] = "".join(traceback.format_exception(record.exc_info[1]))
        return msgspec.json.encode(told, enc_hook=str).decode()


def write_to_stderr(requests: bool) -> None:
    """For a process that is a server and nothing else: each event a line on stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    log.handlers[:] = [handler]
    log.propagate = False
    log.setLevel(logging.INFO if requests else logging.WARNING)


def log_request(number: bytes, method: str, path: str, status: int, seconds: float) -> None:
    """One request and what came of it."""
    level = logging.ERROR if status >= 500 else logging.INFO
    if log.isEnabledFor(level):
        told = {"id": number.decode("latin-1"), "method": method, "path": path[:200], "status": status}
        log.log(level, "request", extra={**told, "ms": round(1e3 * seconds, 3)})
