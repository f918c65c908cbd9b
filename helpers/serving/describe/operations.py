"""One operation in the words of OpenAPI: what it takes, what it gives, and which errors it may give instead."""

from collections.abc import Mapping, Sequence
from typing import Any

from helpers.serving.describe.schemas import PLACE, TEXT, Schema, object_of
from helpers.wire.errors import STATUS

JSON = "application/json"
BINARY: Schema = {"type": "string", "format": "binary"}
ERROR = "servelab.Error"
QUESTION_ERRORS = (400, 413, 415, 422, 500, 503, 504)  # what a body can be answered with

Content = Mapping[str, Mapping[str, Any]]  # by media type


def operation(
    tag: str,
    summary: str,
    answer: Content,
    body: Content | None = None,
    errors: Sequence[int] = (),
    status: int = 200,
    parameters: Sequence[str] = (),
    **more: Any,
) -> dict[str, Any]:
    """One method of one path. ``parameters`` are the names of shared ones."""
    good: dict[str, Any] = {"description": "the answer"} | ({"content": answer} if answer else {})
    responses = {str(status): good} | {str(error): {"$ref": f"#/components/responses/{error}"} for error in errors}
    told: dict[str, Any] = {"tags": [tag], "summary": summary, "responses": responses, **more}
    if body is not None:
        told["requestBody"] = {"required": True, "content": body}
    if parameters:
        told["parameters"] = [{"$ref": f"#/components/parameters/{name}"} for name in parameters]
    return told


def json(schema: Schema, **more: Any) -> dict[str, dict[str, Any]]:
    """The content of a body that is JSON."""
    return {JSON: {"schema": schema, **more}}


def shared() -> dict[str, Any]:
    """The components that operations refer to."""
    codes: dict[int, list[str]] = {}
    for code, status in STATUS.items():
        codes.setdefault(status, []).append(code)
    responses = {
        str(status): {
            "description": " or ".join(each).replace("_", " "),
            "content": json({"$ref": PLACE + ERROR}),
        }
        for status, each in codes.items()
    }
    responses["503"]["headers"] = {"Retry-After": {"description": "seconds", "schema": {"type": "integer"}}}
    error = object_of(
        {
            "error": TEXT,
            "code": {"enum": list(STATUS)},
            "field": TEXT,
            "expected": TEXT,
            "request_id": {**TEXT, "description": "as in the header X-Request-Id, and in the server's log"},
        },
        required=["error", "code", "request_id"],
    )
    return {"responses": responses, "schemas": {ERROR: error}, "parameters": PARAMETERS}


def _path_parameter(name: str, what: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "description": what, "schema": TEXT}


PARAMETERS = {
    "patience": {
        "name": "X-Timeout-Seconds",
        "in": "header",
        "description": "how long the caller waits; the server's own limit holds too",
        "schema": {"type": "number", "exclusiveMinimum": 0},
    },
    "label": _path_parameter("label", "an alias in the store"),
    "name": _path_parameter("name", "a model in the store"),
    "task": _path_parameter("task", "the task, as the answer to its submission names it"),
}
