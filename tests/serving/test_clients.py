"""Clients that others wrote, against our server: what they ask, how they ask it, and how they read an error."""

import gzip
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from tritonclient.utils import InferenceServerException

from helpers.serving.server import Server, serve
from tests.serving import clients
from tests.serving.mirror import VALUES, store_for_clients

TAGS = ("net:1", "mirror", "scores:prod", "missing")
REQUEST = {"instances": [{"left": [1, 2, 3], "right": [4, 5, 6]}]}
PREDICTIONS = {"predictions": [{"scaled": [6, 9, 12], "total": 27}]}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve(*TAGS, store=store_for_clients(tmp_path_factory.mktemp("served"))) as running:
        yield running


@pytest.fixture(scope="module")
def packages() -> Path:
    return clients.packages()


@pytest.mark.parametrize("program", ["kserve_client", "mlserver_types", "tensorflow_serving_messages"])
def test_a_python_client_of_another_server(server: Server, packages: Path, program: str) -> None:
    path = clients.HERE / f"{program}.py"
    clients.run([sys.executable, str(path), server.address], packages)


def test_fetch_in_node(server: Server) -> None:
    node = shutil.which("node") or shutil.which("nodejs")
    if node is None and not clients.REQUIRED:
        pytest.skip("there is no Node on this machine")
    assert node is not None
    clients.run([node, str(clients.HERE / "fetch.mjs"), server.address])


# curl


def curl(*arguments: str, body: bytes = b"") -> bytes:
    if shutil.which("curl") is None and not clients.REQUIRED:
        pytest.skip("there is no curl on this machine")
    ran = subprocess.run(["curl", "-sS", "--noproxy", "*", *arguments], input=body, capture_output=True, check=True)
    return ran.stdout


def test_curl_as_people_type_it(server: Server) -> None:
    predict = f"{server.address}/v1/models/net:predict"
    assert json.loads(curl("-d", json.dumps(REQUEST), predict)) == PREDICTIONS
    assert json.loads(curl("--compressed", "-d", json.dumps(REQUEST), predict)) == PREDICTIONS
    many = json.dumps({"instances": REQUEST["instances"] * 900}).encode()  # so many that it asks whether to go on
    assert json.loads(curl("--data-binary", "@-", predict, body=many)) == {
        "predictions": PREDICTIONS["predictions"] * 900
    }
    packed = gzip.compress(json.dumps(REQUEST).encode())
    assert json.loads(curl("-H", "Content-Encoding: gzip", "--data-binary", "@-", predict, body=packed)) == PREDICTIONS
    head = curl("-I", f"{server.address}/v2/health/ready").decode()
    assert head.startswith("HTTP/1.1 200") and "content-length: 14" in head
    assert b"<h1" in curl("-L", "-H", "Accept: text/html", server.address)
    assert json.loads(curl(server.address))["status"] == "alive"
    refused = json.loads(curl("-d", "{", "-H", "X-Request-Id: mine", predict))
    assert refused["request_id"] == "mine" and refused["code"] == "malformed"


# Triton's


def triton_inputs(module: object, binary: bool) -> list:
    inputs = []
    for name, array in VALUES.items():
        asked = module.InferInput(name, list(array.shape), name)  # type: ignore[attr-defined]
        asked.set_data_from_numpy(array, binary_data=binary or name == "FP16")  # which it sends as bytes only
        inputs.append(asked)
    return inputs


def expect_mirrored(found: triton.InferResult) -> None:
    assert found.get_response()["id"] == "seven"
    for name, array in VALUES.items():
        output = found.as_numpy(f"{name}_out")
        if array.dtype == object:
            output = np.array([each.decode() if isinstance(each, bytes) else each for each in output.ravel()], object)
        assert np.array_equal(output.reshape(array.shape), array), name


@pytest.mark.parametrize("compression", [None, "gzip", "deflate"])
@pytest.mark.parametrize("binary", [True, False])
def test_tritons_client_sends_and_gets_each_type(server: Server, binary: bool, compression: str | None) -> None:
    with triton.InferenceServerClient(f"{server.host}:{server.port}") as client:
        outputs = [triton.InferRequestedOutput(f"{name}_out", binary_data=binary) for name in VALUES]
        for wanted in (outputs, None):
            found = client.infer(
                "mirror",
                triton_inputs(triton, binary),
                outputs=wanted,
                request_id="seven",
                priority=1,
                timeout=1_000_000,
                parameters={"mine": "yes"},
                request_compression_algorithm=compression,
                response_compression_algorithm=compression,
            )
            expect_mirrored(found)


async def test_tritons_asynchronous_client(server: Server) -> None:
    async with triton_aio.InferenceServerClient(f"{server.host}:{server.port}") as client:
        assert await client.is_server_live() and await client.is_server_ready()
        assert await client.is_model_ready("net") and await client.is_model_ready("net", "1")
        assert not await client.is_model_ready("net", "7") and not await client.is_model_ready("none")
        assert (await client.get_model_metadata("net", "1"))["versions"] == ["1"]
        for compression in (None, "gzip", "deflate"):
            expect_mirrored(
                await client.infer(
                    "mirror",
                    triton_inputs(triton_aio, True),
                    request_id="seven",
                    request_compression_algorithm=compression,
                    response_compression_algorithm=compression,
                )
            )
        with pytest.raises(InferenceServerException, match="UINT8 is missing; expected"):
            await client.infer("mirror", triton_inputs(triton_aio, True)[:1])


@pytest.mark.parametrize(
    ("method", "arguments", "said"),
    [
        ("get_model_config", ["net"], "is not a path of Open Inference, or of an extension that is served here"),
        (
            "get_inference_statistics",
            ["net"],
            "is not a path of Open Inference, or of an extension that is served here",
        ),
        ("get_inference_statistics", [], "no model called 'stats'"),  # it asks for /v2/models/stats
        ("get_trace_settings", ["net"], "is not a path of Open Inference"),
        ("get_log_settings", [], "is not a path of Open Inference"),
        ("get_system_shared_memory_status", [], "is not a path of Open Inference"),
        ("get_cuda_shared_memory_status", [], "is not a path of Open Inference"),
    ],
)
def test_an_extension_that_is_not_served_is_a_404_that_says_so(
    server: Server, method: str, arguments: list[str], said: str
) -> None:
    with triton.InferenceServerClient(f"{server.host}:{server.port}") as client:
        with pytest.raises(InferenceServerException, match=said) as refused:
            getattr(client, method)(*arguments)
        assert refused.value.status() == "404"


def test_an_empty_tensor_and_shared_memory_are_refused_by_name(server: Server) -> None:
    with triton.InferenceServerClient(f"{server.host}:{server.port}") as client:
        for binary in (True, False):
            empty = triton.InferInput("x", [0, 2], "FP32")
            empty.set_data_from_numpy(np.empty((0, 2), np.float32), binary_data=binary)
            with pytest.raises(InferenceServerException, match=r"x is empty, of shape \(0, 2\)"):
                client.infer("missing", [empty])
        elsewhere = triton.InferInput("x", [1, 2], "FP32")
        elsewhere.set_shared_memory("region", 8)
        with pytest.raises(InferenceServerException, match="x is without data"):
            client.infer("missing", [elsewhere])


# What the protocol says, without any client


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("health/live", {"live": True}),
        ("health/ready", {"ready": True}),
        ("models/net/ready", {"name": "net", "ready": True}),
        ("models/net/versions/1/ready", {"name": "net", "ready": True}),
    ],
)
def test_health_is_json(server: Server, method: str, path: str, body: dict[str, object]) -> None:
    answer = httpx.request(method, f"{server.address}/v2/{path}")
    assert answer.status_code == 200 and answer.headers["content-type"] == "application/json"
    assert int(answer.headers["content-length"]) == len(json.dumps(body, separators=(",", ":")))
    assert method == "HEAD" or answer.json() == body


def test_a_server_that_is_not_ready_says_so_and_a_model_that_is_not_there(server: Server) -> None:
    server.app.ready = False
    try:
        for path in ("health/ready", "models/net/ready", "models/net/versions/1/ready"):
            answer = httpx.get(f"{server.address}/v2/{path}")
            assert answer.status_code == 503 and answer.json()["ready"] is False
        assert httpx.get(f"{server.address}/v2/health/live").json() == {"live": True}
    finally:
        server.app.ready = True
    for path in ("models/none/ready", "models/net/versions/7/ready"):
        answer = httpx.get(f"{server.address}/v2/{path}")
        assert answer.status_code == 404 and answer.json()["code"] == "not_found"


def test_an_output_of_16_bits_is_json_unless_bytes_are_asked_for(server: Server) -> None:
    inputs = [
        {"name": name, "shape": array.shape, "datatype": name, "data": array.tolist()} for name, array in VALUES.items()
    ]
    body = {"inputs": inputs, "outputs": [{"name": "FP16_out"}], "id": None, "parameters": None}
    answer = httpx.post(f"{server.address}/v2/models/mirror/infer", json=body)
    (output,) = answer.json()["outputs"]
    assert output["datatype"] == "FP16"
    assert np.array_equal(np.array(output["data"], np.float16).reshape(output["shape"]), VALUES["FP16"])


# The id of a request in its error


def test_each_error_has_the_id_of_its_request(server: Server) -> None:
    with httpx.Client(base_url=server.address) as client:
        for path, body in (("/none", b""), ("/v1/models/net:predict", b"{"), ("/v2/models/none/infer", b"{}")):
            answer = client.post(path, content=body, headers={"x-request-id": 'mine "1"'})
            assert answer.is_client_error and answer.json()["request_id"] == 'mine "1"'
            assert answer.headers["x-request-id"] == 'mine "1"'
            answer = client.post(path, content=body)
            assert answer.json()["request_id"] == answer.headers["x-request-id"]
        error = client.get("/openapi.json").json()["components"]["schemas"]["servelab.Error"]
        assert "request_id" in error["required"] and error["properties"]["error"] == {"type": "string"}
