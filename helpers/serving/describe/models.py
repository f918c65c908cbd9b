"""The paths of a model of the store, in both protocols, with what its tensors are."""

from dataclasses import replace
from typing import Any

from helpers.engine.registry import Served
from helpers.engine.servable import Servable
from helpers.runtime import TensorSpec
from helpers.serving.describe.operations import BINARY, QUESTION_ERRORS, json, operation
from helpers.serving.describe.schemas import TEXT, Schema, example, list_of, object_of, of_tensor
from helpers.wire import tensorflow_serving
from helpers.wire.tensors import name_of

WHOLE: Schema = {"type": "integer", "minimum": 0}
ANY: Schema = {"type": "object"}
TEXT_OR_NULL: Schema = {"type": ["string", "null"]}  # some clients write null for what they leave out
ANY_OR_NULL: Schema = {"type": ["object", "null"]}
OCTETS = {
    "application/octet-stream": {
        "schema": {
            **BINARY,
            "description": "the same, and the bytes of tensors after it; "
            "Inference-Header-Content-Length tells how long the JSON is",
        }
    }
}
NUMBER: Schema = {"type": ["number", "null"]}
ERRORS = (404, *QUESTION_ERRORS)

TENSOR = object_of({"name": TEXT, "datatype": TEXT, "shape": list_of({"type": "integer", "minimum": -1}, asked=False)})
METADATA = object_of(
    {
        "name": TEXT,
        "versions": list_of(TEXT),
        "platform": TEXT,
        "inputs": list_of(TENSOR, asked=False),
        "outputs": list_of(TENSOR, asked=False),
    }
)
READY = object_of({"name": TEXT, "ready": {"type": "boolean"}})
STATUS = object_of({"model_version_status": list_of(object_of({"version": TEXT, "state": TEXT, "status": ANY}))})


def paths_of(name: str, served: Served) -> dict[str, Any]:
    """Each path twice: for the version that answers when none is named, and for each that is loaded."""
    paths: dict[str, Any] = {}
    for version in (None, *served.versions):
        model = served.versions[version or served.default]
        place = f"models/{name}" + (f"/versions/{version}" if version else "")
        paths |= _open_inference(f"/v2/{place}", model)
        paths |= _tensorflow_serving(f"/v1/{place}", model)
    return paths | _tensorflow_serving(f"/v1/models/{name}/labels/{{label}}", served.versions[served.default])


def _open_inference(place: str, model: Servable) -> dict[str, Any]:
    tag = f"{model.name}, by Open Inference"
    inputs = [{"name": spec.name, **_zeros(spec)} for spec in model.inputs]
    body = json(_asked(model), example={"inputs": inputs}) | OCTETS
    outputs = list_of(
        object_of(
            {
                "name": TEXT,
                "datatype": TEXT,
                "shape": list_of(WHOLE, asked=False),
                "data": list_of({}, asked=False),
                "parameters": ANY,
            },
            required=["name", "datatype", "shape"],
        )
    )
    answer = object_of(
        {"model_name": TEXT, "model_version": TEXT, "id": TEXT, "outputs": outputs},
        required=["model_name", "model_version", "outputs"],
    )
    content = json({**answer, "description": _told(model.outputs)}) | OCTETS
    return {
        f"{place}/infer": {"post": operation(tag, "Ask the model", content, body, ERRORS, parameters=["patience"])},
        place: {"get": operation(tag, "What it takes and gives", json(METADATA), errors=[404])},
        f"{place}/ready": {"get": operation(tag, "Whether it answers", json(READY), errors=[404])},
    }


def _asked(model: Servable) -> Schema:
    inputs = [
        {
            **object_of(
                {
                    "name": {"const": spec.name},
                    "datatype": {"const": name_of(spec.dtype) if spec.dtype else "BYTES"},
                    "shape": list_of({"type": "integer", "minimum": 1}, len(spec.shape)),
                    "data": {**list_of({}), "description": "flat, or nested as its shape says"},
                    "parameters": ANY_OR_NULL,
                },
                required=["name", "datatype", "shape"],
                closed=False,
            ),
            "description": str(spec),
        }
        for spec in model.inputs
    ]
    outputs = list_of(
        object_of(
            {"name": {"enum": [spec.name for spec in model.outputs]}, "parameters": ANY_OR_NULL},
            required=["name"],
            closed=False,
        ),
        asked=False,
    )
    return {
        **object_of(
            {
                "inputs": list_of({"anyOf": inputs}, len(inputs)),
                "outputs": {"anyOf": [outputs, {"type": "null"}]},
                "id": TEXT_OR_NULL,
                "parameters": ANY_OR_NULL,
            },
            required=["inputs"],
            closed=False,
        ),
        "description": _told(model.inputs),
    }


def _tensorflow_serving(place: str, model: Servable) -> dict[str, Any]:
    tag = f"{model.name}, by TensorFlow Serving"
    shared = ("label",) if place.endswith("}") else ()
    forms = {"predictions": _rows(model.outputs, False), "outputs": _columns(model.outputs, False)}
    predictions = {
        "anyOf": [object_of({name: form}) for name, form in forms.items()],
        "description": _told(model.outputs),
    }
    paths = {
        f"{place}:predict": {
            "post": operation(
                tag,
                "Ask the model",
                json(predictions),
                json(_instances_or_inputs(model)),
                ERRORS,
                parameters=("patience", *shared),
            )
        }
    }
    features = {spec.name: _feature(spec) for spec in model.inputs}
    examples = _with_signature(
        {
            "examples": list_of(object_of(features)),
            "context": {**ANY, "description": "features that all examples have"},
        },
        required=["examples"],
    )
    zeros = {name: example(feature, {}) for name, feature in features.items()}
    label_and_score = {**list_of({"anyOf": [TEXT, NUMBER]}, 2), "description": "a class and its score"}
    results = {"classify": list_of(list_of(label_and_score)), "regress": list_of(NUMBER)}
    for verb, result in results.items():
        if tensorflow_serving.scores_among(model.outputs, verb) is not None:
            paths[f"{place}:{verb}"] = {
                "post": operation(
                    tag,
                    f"Ask the model to {verb} examples",
                    json(object_of({"result": result})),
                    json(examples, example={"examples": [zeros]}),
                    ERRORS,
                    parameters=("patience", *shared),
                )
            }
    paths[place] = {"get": operation(tag, "Its versions", json(STATUS), errors=[404], parameters=shared)}
    if not shared:
        paths[f"{place}/metadata"] = {"get": operation(tag, "What it takes and gives", json(ANY), errors=[404])}
    return paths


def _instances_or_inputs(model: Servable) -> Schema:
    """Rows, or columns; never both."""
    forms = {"instances": _rows(model.inputs, True), "inputs": _columns(model.inputs, True)}
    one_of = [
        _with_signature({name: form}, [name]) | {"not": {"required": [other]}}
        for (name, form), other in zip(forms.items(), reversed(forms), strict=True)
    ]
    return {"anyOf": one_of, "description": _told(model.inputs)}


def _with_signature(properties: dict[str, Schema], required: list[str]) -> Schema:
    signature = {"const": tensorflow_serving.SIGNATURE}
    return object_of(properties | {"signature_name": signature}, required, closed=False)


def _rows(specs: tuple[TensorSpec, ...], asked: bool) -> Schema:
    by_name = list_of(object_of({spec.name: of_tensor(_row_of(spec), asked) for spec in specs}), asked=asked)
    if len(specs) > 1:
        return by_name
    return {"anyOf": [of_tensor(specs[0], asked), by_name]} if asked else of_tensor(specs[0], asked)


def _columns(specs: tuple[TensorSpec, ...], asked: bool) -> Schema:
    by_name = object_of({spec.name: of_tensor(spec, asked) for spec in specs})
    if len(specs) > 1:
        return by_name
    return {"anyOf": [of_tensor(specs[0], asked), by_name]} if asked else of_tensor(specs[0], asked)


def _feature(spec: TensorSpec) -> Schema:
    """One row of a tensor; a list of one may be told as the value itself."""
    row = of_tensor(_row_of(spec), True)
    return {"anyOf": [row, row["items"]]} if spec.shape[1:] == (1,) else row


def _row_of(spec: TensorSpec) -> TensorSpec:
    return replace(spec, shape=spec.shape[1:])


def _zeros(spec: TensorSpec) -> dict[str, Any]:
    shape = [size if isinstance(size, int) else 1 for size in spec.shape]
    return {
        "shape": shape,
        "datatype": name_of(spec.dtype) if spec.dtype else "BYTES",
        "data": example(of_tensor(spec, True), {}),
    }


def _told(specs: tuple[TensorSpec, ...]) -> str:
    return "; ".join(f"{spec.name}: {spec}" for spec in specs)
