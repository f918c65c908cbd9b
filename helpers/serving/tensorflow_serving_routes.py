"""The paths of TensorFlow Serving under ``/v1``: predict, classify, regress, status and metadata."""

import msgspec

from helpers.engine.servable import Servable
from helpers.runtime import TensorSpec
from helpers.serving.app import App
from helpers.serving.exchange import Answer, Request
from helpers.wire import tensorflow_serving as form
from helpers.wire.errors import EngineError

TYPES = {"float32": "DT_FLOAT", "float64": "DT_DOUBLE", "float16": "DT_HALF", "bool": "DT_BOOL", "object": "DT_STRING"}


def add_to(app: App) -> None:
    """Let an application speak TensorFlow Serving's REST form."""
    app.routes["v1"] = TensorFlowServing(app).answer


class TensorFlowServing:
    """``models/NAME``, then perhaps a version or a label, then perhaps ``:predict`` and the like, or ``metadata``."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def answer(self, request: Request) -> Answer:
        *rest, last = request.path or [""]
        last, colon, verb = last.partition(":")
        match [*rest, last]:
            case ["models", name]:
                model = self.app.registry.find(name)
            case ["models", name, "versions", version]:
                model = self.app.registry.find(name, version)
            case ["models", name, "labels", label]:
                model = self.app.registry.find_label(name, label)
            case ["models", name, "metadata"] if not colon:
                request.expect_method("GET")
                return _metadata(self.app.registry.find(name))
            case ["models", name, "versions", version, "metadata"] if not colon:
                request.expect_method("GET")
                return _metadata(self.app.registry.find(name, version))
            case ["models", name, "labels", label, "metadata"] if not colon:
                request.expect_method("GET")
                return _metadata(self.app.registry.find_label(name, label))
            case _:
                path = f"/v1/{'/'.join(request.path)[:80]}"
                told = f"TensorFlow Serving has no path {path}; a model answers at /v1/models/NAME:predict"
                raise EngineError("not_found", told)
        if not colon:
            request.expect_method("GET")
            return self._status(model, request.path)
        if verb not in ("predict", "classify", "regress"):
            raise EngineError("not_found", f"{verb[:40]!r} is not answered here; predict, classify and regress are")
        request.expect_method("POST")
        if verb != "predict":
            return await self._scores(request, model, verb)
        inputs, as_rows = form.decode(request.body, model.inputs)
        answers = await model.infer(inputs, request.deadline(self.app.timeout), request.has_left)
        return Answer([form.encode(answers, as_rows)])

    async def _scores(self, request: Request, model: Servable, verb: str) -> Answer:
        scores = form.scores_among(model.outputs, verb)
        if scores is None:
            needed = "a number for each class" if verb == "classify" else "one number for each row"
            raise EngineError("not_found", f"{model.name} does not {verb}: no output of it is {needed}; use predict")
        inputs = form.decode_examples(request.body, model.inputs)
        answers = await model.infer(inputs, request.deadline(self.app.timeout), request.has_left)
        return Answer([form.encode_scores(answers[scores.name], verb, model.classes)])

    def _status(self, model: Servable, path: list[str]) -> Answer:
        versions = [model.version] if len(path) > 2 else sorted(self.app.registry.models[model.name].versions)
        fine = {"error_code": "OK", "error_message": ""}
        told = [{"version": version, "state": "AVAILABLE", "status": fine} for version in versions]
        return _json({"model_version_status": told})


def _metadata(model: Servable) -> Answer:
    signature = {
        "inputs": {spec.name: _described(spec) for spec in model.inputs},
        "outputs": {spec.name: _described(spec) for spec in model.outputs},
        "method_name": "tensorflow/serving/predict",
    }
    return _json(
        {
            "model_spec": {"name": model.name, "signature_name": "", "version": model.version},
            "metadata": {"signature_def": {"signature_def": {form.SIGNATURE: signature}}},
        }
    )


def _described(spec: TensorSpec) -> dict[str, object]:
    dtype = str(spec.dtype)
    sizes = [{"size": str(size if isinstance(size, int) else -1), "name": ""} for size in spec.shape]
    return {
        "dtype": TYPES.get(dtype, f"DT_{dtype.upper()}"),
        "tensor_shape": {"dim": sizes, "unknown_rank": False},
        "name": spec.name,
    }


def _json(told: object) -> Answer:
    return Answer([msgspec.json.encode(told)])
