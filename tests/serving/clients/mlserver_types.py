"""MLServer's types of messages and its codecs, which its clients build requests with.

Its package starts with the whole server (Kafka, tracing and more): the types are imported without that.
"""

import json
import sys
import types
from pathlib import Path

import httpx
import numpy as np

(place,) = (Path(each, "mlserver") for each in sys.path if Path(each, "mlserver").is_dir())
package = types.ModuleType("mlserver")
package.__path__ = [str(place)]
sys.modules["mlserver"] = package

from mlserver.codecs import NumpyCodec, StringCodec  # noqa: E402
from mlserver.types import (  # noqa: E402
    InferenceErrorResponse,
    InferenceRequest,
    InferenceResponse,
    MetadataModelResponse,
    MetadataServerResponse,
    Parameters,
    RepositoryIndexResponse,
    RequestOutput,
)

from tests.serving.mirror import VALUES  # noqa: E402


def request() -> InferenceRequest:
    """Without FP16, of which MLServer's codec makes another type."""
    inputs = []
    for name, array in VALUES.items():
        if array.dtype == object:
            made = StringCodec.encode_input(name, list(array.ravel()), use_bytes=False)
            made.shape = list(array.shape)
        else:
            made = NumpyCodec.encode_input(name, array)
        assert made.datatype == name, made
        inputs.append(made)
    return InferenceRequest(id="seven", parameters=Parameters(content_type="np"), inputs=inputs)


def expect_right(text: str) -> None:
    found = InferenceResponse.model_validate_json(text)
    assert found.id == "seven" and found.model_name == "mirror" and len(found.outputs) == len(VALUES)
    for output in found.outputs:
        array = VALUES[output.name.removesuffix("_out")]
        if array.dtype == object:
            assert StringCodec.decode_output(output) == list(array.ravel())
        else:
            assert np.array_equal(NumpyCodec.decode_output(output), array), output.name


def main(address: str) -> None:
    infer = f"{address}/v2/models/mirror/infer"
    asked = request()
    as_it_is = asked.model_dump()
    everything = {**json.loads(asked.model_dump_json(exclude_none=False, exclude_unset=False)), "outputs": None}
    assert everything["inputs"][0]["parameters"] is None or "headers" in everything["inputs"][0]["parameters"]
    for body in (as_it_is, everything):
        answer = httpx.post(infer, json=body, timeout=60)
        assert answer.status_code == 200, answer.text
        expect_right(answer.text)
    asked.outputs = [RequestOutput(name="INT64_out")]
    answer = httpx.post(infer, json=asked.model_dump(), timeout=60)
    assert [output.name for output in InferenceResponse.model_validate_json(answer.text).outputs] == ["INT64_out"]
    asked.inputs.pop()
    answer = httpx.post(infer, json=asked.model_dump(), timeout=60)
    assert answer.status_code == 422 and "missing" in InferenceErrorResponse.model_validate_json(answer.text).error

    metadata = MetadataModelResponse.model_validate_json(httpx.get(f"{address}/v2/models/mirror").text)
    assert [tensor.name for tensor in metadata.inputs] == list(VALUES)
    assert MetadataServerResponse.model_validate_json(httpx.get(f"{address}/v2").text).name == "servelab"
    index = RepositoryIndexResponse.model_validate_json(httpx.post(f"{address}/v2/repository/index", json={}).text)
    assert {each.name for each in index.root} >= {"mirror", "net"}


if __name__ == "__main__":
    main(sys.argv[1])
