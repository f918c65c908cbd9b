"""What values look like in JSON, as JSON Schema says it; and a small value that fits a schema."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from helpers.engine.service import Api
from helpers.runtime import TensorSpec
from helpers.wire.values import ImageValue, JsonValue, TableValue, TensorValue, Value

Schema = dict[str, Any]
PLACE = "#/components/schemas/"
TEXT: Schema = {"type": "string"}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR42mNgAAAAAgAB5Sfe/AAAAABJRU5ErkJggg=="  # a black one
BASE64: Schema = {"type": "string", "contentEncoding": "base64"}


class JsonTypes:
    """The schemas of what msgspec checks, made together, so that two types of one name are told apart."""

    def __init__(self, values: Sequence[JsonValue]) -> None:
        types = [value.type for value in values]
        schemas, self.components = msgspec.json.schema_components(
            types, ref_template=PLACE + "{name}", schema_hook=lambda type_: {}
        )
        self._by_value = {id(value): schema for value, schema in zip(values, schemas, strict=True)}

    def of(self, value: Value, asked: bool) -> Schema:
        """The schema of a value that is asked for, or of one that is answered."""
        match value:
            case TensorValue(spec):
                return of_tensor(spec, asked)
            case ImageValue(mode):
                base64 = {"anyOf": [object_of({"b64": BASE64}), BASE64], "examples": [{"b64": PIXEL}]}
                return {**base64, "description": f"a picture in base64, read as {mode}"}
            case TableValue():
                return _of_table(value, asked)
            case JsonValue():
                return self._by_value[id(value)]

    def of_question(self, api: Api) -> Schema:
        """An object with a value for each parameter."""
        properties = {}
        for name, value in api.parameters.items():
            properties[name] = dict(self.of(value, asked=True))
            if api.batching is not None and isinstance(value, JsonValue):
                properties[name]["minItems"] = 1
            if isinstance(value, JsonValue) and name in api.defaults:
                properties[name]["default"] = msgspec.to_builtins(api.defaults[name], enc_hook=str)
        return object_of(properties, required=[name for name in properties if name not in api.defaults])


def object_of(properties: Mapping[str, Schema], required: Sequence[str] | None = None, closed: bool = True) -> Schema:
    """An object; all of its properties are required unless some are named. A closed one has no others."""
    schema = {"type": "object", "properties": dict(properties), "required": list(properties)}
    if required is not None:
        schema["required"] = list(required)
    return schema | ({"additionalProperties": False} if closed else {})


def list_of(items: Schema, size: int | str = "", asked: bool = True) -> Schema:
    """A list of a fixed size, or of any; one that is asked for has something in it."""
    bounds = {"minItems": size, "maxItems": size} if isinstance(size, int) else {"minItems": 1} if asked else {}
    return {"type": "array", "items": items, **bounds}


def of_tensor(spec: TensorSpec, asked: bool) -> Schema:
    """Lists within lists, as deep as it has axes."""
    if spec.dtype is None:
        return {"description": "no tensor"}
    schema = _of_element(spec.dtype, asked, spec.takes_missing)
    for size in reversed(spec.shape):
        schema = list_of(schema, size, asked)
    return {**schema, "description": str(spec)}


def example(schema: Schema, components: Mapping[str, Schema]) -> Any:
    """Zeros, empty texts, first choices: as little as the schema allows."""
    if "$ref" in schema:
        return example(components[schema["$ref"].removeprefix(PLACE)], components)
    for told in ("default", "const"):
        if told in schema:
            return schema[told]
    for choices in ("examples", "enum"):
        if choices in schema:
            return schema[choices][0]
    if "anyOf" in schema:
        nothing = {"type": "null"}  # ends what could go on for ever: a tree's branches, say
        return None if nothing in schema["anyOf"] else example(schema["anyOf"][0], components)
    kinds = schema.get("type")
    match kinds[0] if isinstance(kinds, list) else kinds:
        case "object":
            return {name: example(schema["properties"][name], components) for name in schema.get("required", ())}
        case "array":
            first = [example(each, components) for each in schema.get("prefixItems", ())]
            left = schema.get("minItems", 0) - len(first)
            return first + [example(schema["items"], components)] * left if left > 0 else first
        case "number" | "integer":
            return max(0, schema.get("minimum", schema.get("exclusiveMinimum", -1) + 1))
        case "string":
            return "x" * schema.get("minLength", 0)
        case "boolean":
            return False
    return None


def _of_table(table: TableValue, asked: bool) -> Schema:
    elements = {name: _of_element(dtype, asked, name in table.missing) for name, dtype in table.columns.items()}
    rows = list_of(object_of(elements), asked=asked)
    if not asked:
        return {**rows, "description": str(table)}
    columns = object_of({name: list_of(element) for name, element in elements.items()})
    return {"anyOf": [rows, columns], "description": f"{table}, by rows or by columns"}


def _of_element(dtype: np.dtype[Any], asked: bool, takes_missing: bool) -> Schema:
    match dtype.kind:
        case "b":
            return {"type": "boolean"}
        case "f" if not asked:
            return {"type": ["number", "null"]}  # null stands for NaN and infinity, which JSON does not have
        case "f":
            kind = {"type": ["number", "null"] if takes_missing else "number"}
            if dtype.itemsize > 4:
                return kind
            about = np.finfo(dtype)  # what is nearer to the largest number than to the next one is rounded to it
            limit = 2.0**about.maxexp * (1 - 2.0 ** -(about.nmant + 2))
            return {**kind, "exclusiveMinimum": -limit, "exclusiveMaximum": limit}
        case "i" | "u":
            return {"type": "integer", "minimum": int(np.iinfo(dtype).min), "maximum": int(np.iinfo(dtype).max)}
    return {"anyOf": [TEXT, object_of({"b64": BASE64})]} if asked else TEXT
