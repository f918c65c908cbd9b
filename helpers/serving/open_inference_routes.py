"""The paths of Open Inference under ``/v2``: health, metadata, inference, and the repository."""

import msgspec

from helpers.engine.servable import Servable
from helpers.runtime import TensorSpec
from helpers.serving.app import App
from helpers.serving.exchange import Answer, Request
from helpers.wire import open_inference
from helpers.wire.errors import EngineError
from helpers.wire.tensors import name_of

HEADER = open_inference.HEADER_LENGTH.encode()
OCTETS = b"application/octet-stream"


def add_to(app: App) -> None:
    """Let an application speak Open Inference."""
    app.routes["v2"] = OpenInference(app).answer


class OpenInference:
    """Each path is a method; the one for inference is tried first."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def answer(self, request: Request) -> Answer:
        match request.path:
            case ["models", name, "infer"]:
                return await self._infer(request, self.app.registry.find(name))
            case ["models", name, "versions", version, "infer"]:
                return await self._infer(request, self.app.registry.find(name, version))
            case [] | [""]:
                request.expect_method("GET", "HEAD")
                return _json(
                    {"name": "servelab", "version": "2", "extensions": ["binary_tensor_data", "model_repository"]}
                )
            case ["health", "live"]:
                request.expect_method("GET", "HEAD")
                return _json({"live": True})
            case ["health", "ready"]:
                request.expect_method("GET", "HEAD")
                return _json({"ready": self.app.ready}, 200 if self.app.ready else 503)
            case ["models", name]:
                return self._metadata(request, self.app.registry.find(name))
            case ["models", name, "versions", version]:
                return self._metadata(request, self.app.registry.find(name, version))
            case ["models", name, "ready"]:
                return self._ready(request, self.app.registry.find(name))
            case ["models", name, "versions", version, "ready"]:
                return self._ready(request, self.app.registry.find(name, version))
            case ["repository", "index"]:
                request.expect_method("POST", "GET")
                return self._index(request)
            case ["repository", "models", name, "load"]:
                request.expect_method("POST")
                await self.app.registry.load_again(name)
                return _json({})
            case ["repository", "models", name, "unload"]:
                request.expect_method("POST")
                self.app.registry.unload(name)
                return _json({})
        told = (
            f"/v2/{'/'.join(request.path)[:80]} is not a path of Open Inference, or of an extension that is served here"
        )
        raise EngineError("not_found", f"{told}; models answer at /v2/models/NAME/infer")

    async def _infer(self, request: Request, model: Servable) -> Answer:
        request.expect_method("POST")
        length = request.headers.get(HEADER)
        header_length = length.decode("latin-1") if length is not None else None
        asked = open_inference.decode(request.body, header_length, model.missing)
        answers = await model.infer(asked.inputs, request.deadline(self.app.timeout), request.has_left)
        parts, length_of_json = open_inference.encode(model.name, model.version, asked, answers)
        if length_of_json is None:
            return Answer(parts)
        return Answer(parts, content_type=OCTETS, headers=[(HEADER, str(length_of_json).encode())])

    def _ready(self, request: Request, model: Servable) -> Answer:
        request.expect_method("GET", "HEAD")
        return _json({"name": model.name, "ready": self.app.ready}, 200 if self.app.ready else 503)

    def _metadata(self, request: Request, model: Servable) -> Answer:
        request.expect_method("GET", "HEAD")
        return _json(
            {
                "name": model.name,
                "versions": sorted(self.app.registry.models[model.name].versions),
                "platform": "onnxruntime_onnx",
                "inputs": [_described(spec) for spec in model.inputs],
                "outputs": [_described(spec) for spec in model.outputs],
            }
        )

    def _index(self, request: Request) -> Answer:
        """What is loaded, and what the store holds beside it."""
        served = self.app.registry.models
        loaded = [
            {"name": name, "version": version, "state": "READY", "reason": ""}
            for name in served
            for version in served[name].versions
        ]
        only_ready = b'"ready":true' in bytes(request.body).replace(b" ", b"")
        others = [] if only_ready else [name for name in self.app.registry.store.names() if name not in served]
        return _json(
            [*loaded, *({"name": name, "version": "", "state": "UNAVAILABLE", "reason": ""} for name in others)]
        )


def _described(spec: TensorSpec) -> dict[str, object]:
    shape = [size if isinstance(size, int) else -1 for size in spec.shape]
    return {"name": spec.name, "datatype": name_of(spec.dtype) if spec.dtype else "BYTES", "shape": shape}


def _json(told: object, status: int = 200) -> Answer:
    return Answer([msgspec.json.encode(told)], status)
