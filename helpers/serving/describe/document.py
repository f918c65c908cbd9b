"""The document: OpenAPI 3.1, made from the services and the models that are there when it is asked for."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from helpers.engine.endpoint import Endpoint
from helpers.engine.registry import Registry
from helpers.engine.service import Api
from helpers.serving.describe.models import paths_of
from helpers.serving.describe.operations import BINARY, JSON, QUESTION_ERRORS, Content, json, operation, shared
from helpers.serving.describe.schemas import PLACE, TEXT, JsonTypes, Schema, example, list_of, object_of
from helpers.wire import native, tables
from helpers.wire.values import ImageValue, JsonValue, TableValue, TensorValue

TASK = "servelab.Task"
TRUTH: Schema = {"type": "boolean"}
LONGEST_EXAMPLE = 5_000  # a longer one is left out of the document; the page has it at a path of its own

Document = dict[str, Any]


def document(endpoints: Sequence[Endpoint], registry: Registry, longest: float = LONGEST_EXAMPLE) -> Document:
    """What can be asked here, and how. Examples that have more bytes than ``longest`` are left out."""
    apis = [endpoint.api for endpoint in endpoints]
    values = [value for api in apis for value in (*api.parameters.values(), api.result)]
    types = JsonTypes([value for value in values if isinstance(value, JsonValue)])
    components = shared()
    components["schemas"] |= types.components | {TASK: _TASK}
    paths = {f"/{each.api.name}": {"post": _of_api(each, types)} for each in endpoints}
    tasks = [api for api in apis if api.keep is not None]
    if tasks:
        paths |= _of_tasks(tasks, types)
    for name, served in sorted(registry.models.items()):
        paths |= paths_of(name, served)
    paths |= _OF_THE_SERVER
    for path in paths.values():
        for each in path.values():
            _put_examples(each.get("requestBody", {}).get("content", {}), components["schemas"], longest)
    names = dict.fromkeys([each.spec.name for each in endpoints] + sorted(registry.models))
    return {
        "openapi": "3.1.0",
        "info": {
            "title": ", ".join(names) or "Nothing yet",
            "version": "1",
            "description": "An answer has the X-Request-Id of its request, or a new one; an error's body has it too. "
            "A request's body may be compressed (Content-Encoding: gzip or deflate). /docs shows this to people.",
        },
        "paths": paths,
        "components": components,
        "tags": [{"name": tag} for tag in dict.fromkeys(op["tags"][0] for p in paths.values() for op in p.values())],
    }


def _of_api(endpoint: Endpoint, types: JsonTypes) -> dict[str, Any]:
    api = endpoint.api
    single = next(iter(api.parameters.values()), None)
    body: dict[str, Any] = json(types.of_question(api))
    for kind in native.Reader(api.name, api.parameters, api.defaults).content_types:
        if kind == native.CSV and isinstance(single, TableValue):
            zeros = {name: [0 if dtype.kind != "O" else "text"] for name, dtype in single.columns.items()}
            body[kind] = {"schema": TEXT, "example": tables.to_csv(zeros).decode()}
        elif kind != JSON:
            body[kind] = {"schema": BINARY}
    summary, _, rest = api.help.partition("\n")
    told = operation(
        endpoint.spec.name,
        summary or f"Takes {', '.join(api.parameters) or 'nothing'}",
        json({"$ref": PLACE + TASK}) if api.keep is not None else _answer(api, types),
        body,
        QUESTION_ERRORS,
        202 if api.keep is not None else 200,
        ["patience"],
        operationId=api.name,
    )
    told["requestBody"]["required"] = len(api.parameters) > len(api.defaults)
    if api.keep is not None:
        at = {"parameters": {"task": "$response.body#/task"}}
        told["responses"]["202"]["links"] = {name: {"operationId": name, **at} for name in ("task", "result", "cancel")}
        told["responses"]["202"]["headers"] = {"Location": {"schema": TEXT}}
    return told | ({"description": rest.strip()} if rest.strip() else {})


def _answer(api: Api, types: JsonTypes) -> Content:
    result = api.result
    if api.streams:  # of each kind a chunk, a line or an event is an item
        content: dict[str, dict[str, Any]] = {"text/event-stream": {"schema": TEXT}}
        kinds = {"text/plain": str, "application/octet-stream": bytes}
        for kind, type_ in kinds.items():
            if isinstance(result, JsonValue) and result.type in (type_, Any):
                content[kind] = {"schema": BINARY if type_ is bytes else TEXT}
        item = types.of(result, asked=False) if isinstance(result, JsonValue | TensorValue) else {}
        return content | {"application/x-ndjson": {"schema": item}}
    match result:
        case ImageValue():
            return {native.PNG: {"schema": BINARY}}
        case TensorValue():
            return json(types.of(result, asked=False)) | {native.NPY: {"schema": BINARY}}
        case TableValue():
            return json(types.of(result, asked=False)) | {native.CSV: {"schema": TEXT}}
    return json(types.of(result, asked=False))


def _of_tasks(tasks: Sequence[Api], types: JsonTypes) -> dict[str, Any]:
    kinds = {kind for api in tasks for kind in _result_of(api, types)}
    of_task: dict[str, Any] = {"parameters": ["task"], "answer": json({"$ref": PLACE + TASK}), "errors": [404]}
    result = {kind: {"schema": {} if kind == JSON else BINARY} for kind in sorted(kinds)}
    return {
        "/tasks/{task}": {
            "get": operation("Tasks", "How it is", operationId="task", **of_task),
            "delete": operation("Tasks", "Cancel it", operationId="cancel", **of_task),
        },
        "/tasks/{task}/result": {
            "get": operation(
                "Tasks", "What came of it", result, errors=[404, 409], parameters=["task"], operationId="result"
            )
        },
    }


def _result_of(api: Api, types: JsonTypes) -> Content:
    """What a task gives: of a generator the last item, which is no stream any more."""
    return _answer(replace(api, streams=False), types)


def _put_examples(content: dict[str, Any], schemas: Mapping[str, Schema], longest: float) -> None:
    told = content.get(JSON)
    if told is None:
        return
    given = told.pop("example", None) or example(told["schema"], schemas)
    if longest == math.inf or len(msgspec.json.encode(given)) <= longest:
        told["example"] = given


_TASK = object_of(
    {
        "task": TEXT,
        "api": TEXT,
        "state": {"enum": ["waiting", "running", "done", "failed", "cancelled", "lost"]},
        "submitted": {"type": "number"},
        "keep": {"type": "number", "description": "for so many seconds after its end the result is kept"},
        "started": {"type": "number"},
        "ended": {"type": "number"},
        "progress": {"description": "the newest item, if it is a generator"},
        "error": TEXT,
    },
    required=["task", "api", "state", "submitted", "keep"],
)
_MODEL = object_of({"name": TEXT, "version": TEXT, "state": TEXT, "reason": TEXT})
_INDEX: dict[str, Any] = {
    "answer": json(list_of(_MODEL, asked=False)),
    "tag": "Models",
    "summary": "Which there are",
}
_CHANGE: dict[str, Any] = {"tag": "Models", "answer": json({"type": "object"}), "parameters": ["name"]}
_STATE = json({"type": "object"})
_OF_THE_SERVER: dict[str, Any] = {
    "/v2/repository/index": {"get": operation(**_INDEX), "post": operation(**_INDEX)},
    "/v2/repository/models/{name}/load": {
        "post": operation(summary="Load it, or its newest version", errors=[404, 503], **_CHANGE)
    },
    "/v2/repository/models/{name}/unload": {"post": operation(summary="Unload it", errors=[404], **_CHANGE)},
    "/livez": {"get": operation("The server", "Whether it runs", _STATE)},
    "/readyz": {"get": operation("The server", "Whether everything is loaded", _STATE)},
    "/metrics": {"get": operation("The server", "Numbers for Prometheus", {"text/plain": {"schema": TEXT}})},
    "/v2": {"get": operation("The server", "Which extensions of Open Inference it speaks", _STATE)},
    "/v2/health/live": {"get": operation("The server", "Whether it runs", json(object_of({"live": TRUTH})))},
    "/v2/health/ready": {
        "get": operation("The server", "Whether everything is loaded", json(object_of({"ready": TRUTH})))
    },
}
