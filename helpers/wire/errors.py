"""What can go wrong for a caller: one shape, stable codes, and the HTTP status of each.

{"error": "images is …; expected …", "code": "invalid_input", "field": "images", "expected": "…", "request_id": "…"}
"""

from collections.abc import Sequence
from typing import Any

import msgspec

STATUS = {
    "malformed": 400,
    "unauthorized": 401,
    "not_found": 404,
    "method_not_allowed": 405,
    "conflict": 409,
    "too_large": 413,
    "unsupported_media_type": 415,
    "invalid_input": 422,
    "rate_limited": 429,
    "head_too_large": 431,
    "internal": 500,
    "overloaded": 503,
    "unavailable": 503,
    "deadline_exceeded": 504,
}


class EngineError(Exception):
    """Something to tell a caller, and nothing that a caller should not see."""

    def __init__(
        self,
        code: str,
        message: str,
        field: str | None = None,
        expected: str | None = None,
        retry_after: float | None = None,
        headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.field = field
        self.expected = expected
        self.retry_after = retry_after
        self.headers = headers

    @property
    def status(self) -> int:
        return STATUS[self.code]

    def body(self, request_id: str = "") -> bytes:
        """The answer's JSON; the id is that of the request, as in its header X-Request-Id."""
        told: dict[str, Any] = {"error": self.message, "code": self.code}
        if self.field is not None:
            told["field"] = self.field
        if self.expected is not None:
            told["expected"] = self.expected
        if request_id:
            told["request_id"] = request_id
        return msgspec.json.encode(told)

    def __str__(self) -> str:
        return self.message


class ClientGone(Exception):
    """The caller left before it had its answer."""


def malformed(message: str, field: str | None = None) -> EngineError:
    """The bytes are not what they should be: nothing in them can be understood."""
    return EngineError("malformed", message, field)


def invalid(field: str, given: str, expected: str) -> EngineError:
    """The bytes are understood, and the model does not take what they say."""
    return EngineError("invalid_input", f"{field} is {given}; expected {expected}", field, expected)
