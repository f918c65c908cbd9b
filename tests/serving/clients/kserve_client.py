"""KServe's client and its types of messages, in both of its protocols."""

import asyncio
import sys

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput
from kserve.protocol.rest import v2_datamodels as messages

from tests.serving.mirror import VALUES


def request_for(names: list[str], binary: bool) -> InferRequest:
    inputs = []
    for name in names:
        array = VALUES[name]
        made = InferInput(name, list(array.shape), name)
        made.set_data_from_numpy(array, binary_data=binary)
        inputs.append(made)
    return InferRequest("mirror", inputs, request_id="seven")


async def second_protocol(address: str) -> None:
    async with InferenceRESTClient(RESTConfig(protocol="v2", timeout=60)) as client:
        assert await client.is_server_live(address) is True
        assert await client.is_server_ready(address) is True
        assert await client.is_model_ready(address, "mirror") is True
        assert await client.is_model_ready(address, "none") is False
        for binary in (True, False):
            names = [name for name in VALUES if binary or name != "FP16"]  # which it sends as bytes only
            request = request_for(names, binary)
            if not binary:
                request.inputs.append(request_for(["FP16"], True).inputs[0])
            for as_bytes in (True, False):
                request.parameters = {"binary_data_output": as_bytes, "priority": 1}
                found = await client.infer(address, request, model_name="mirror")
                assert found.id == "seven" and found.model_name == "mirror"
                assert {output.name for output in found.outputs} == {f"{name}_out" for name in VALUES}
                for output in found.outputs:
                    expect_same(output, VALUES[output.name.removesuffix("_out")])
        request.request_outputs = [RequestedOutput("FP32_out", {"binary_data": True}), RequestedOutput("BYTES_out")]
        found = await client.infer(address, request, model_name="mirror")
        assert [output.name for output in found.outputs] == ["FP32_out", "BYTES_out"]
        wrong = request_for(["FP32"], True)
        try:
            await client.infer(address, wrong, model_name="mirror")
        except httpx.HTTPStatusError as error:
            assert "is missing; expected" in str(error) and "'422 " in str(error)
        else:
            raise AssertionError("a request without its inputs was answered")


def expect_same(output: object, array: np.ndarray) -> None:
    found = output.as_numpy()
    if array.dtype == object:
        found = np.array([each.decode() if isinstance(each, bytes) else each for each in found.ravel()], object)
    assert np.array_equal(found.reshape(array.shape), array), (output.name, found)


async def first_protocol(address: str) -> None:
    async with InferenceRESTClient(RESTConfig(timeout=60)) as client:
        assert await client.is_server_live(address) is True
        rows = [{"left": [1.0, 2.0, 3.0], "right": [4.0, 5.0, 6.0]}]
        found = await client.infer(address, {"instances": rows}, model_name="net")
        assert found == {"predictions": [{"scaled": [6.0, 9.0, 12.0], "total": 27.0}]}
        for name, said in (("none", "no model called 'none'"), ("net", "right is missing")):
            try:
                await client.infer(address, {"instances": [{"left": [1, 2, 3]}]}, model_name=name)
            except httpx.HTTPStatusError as error:
                assert said in str(error)
            else:
                raise AssertionError("a wrong request was answered")


def typed_messages(address: str) -> None:
    def read(path: str, message: type) -> object:
        return message.model_validate_json(httpx.get(address + path).text)

    assert read("/v2/health/live", messages.ServerLiveResponse).live
    assert read("/v2/health/ready", messages.ServerReadyResponse).ready
    assert read("/v2", messages.ServerMetadataResponse).name == "servelab"
    for place in ("/v2/models/net", "/v2/models/net/versions/1"):
        assert read(f"{place}/ready", messages.ModelReadyResponse) == messages.ModelReadyResponse(
            name="net", ready=True
        )
        metadata = read(place, messages.ModelMetadataResponse)
        assert (metadata.name, metadata.versions, metadata.inputs[0].shape) == ("net", ["1"], [-1, 3])


if __name__ == "__main__":
    asyncio.run(second_protocol(sys.argv[1]))
    asyncio.run(first_protocol(sys.argv[1]))
    typed_messages(sys.argv[1])
