"""Devices by name: the one that is asked for is the one that runs, or there is a refusal."""

from collections.abc import Iterator
from pathlib import Path

import onnxruntime
import pytest

from helpers.errors import UserError
from helpers.runtime import Session
from helpers.runtime.providers import default_device, devices, use_device, with_options
from helpers.serving import Settings, serve
from helpers.store import Store
from tests.store.models import multiply_by


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before = default_device()
    yield
    use_device(before)


@pytest.fixture
def with_cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A runtime that was built with CUDA, on a machine whose GPU does not start."""
    with monkeypatch.context() as patch:
        known = ["CUDAExecutionProvider", "AzureExecutionProvider", "CPUExecutionProvider"]
        patch.setattr(onnxruntime, "get_available_providers", lambda: known)
        yield


@pytest.mark.parametrize(
    ("device", "sentence"),
    [
        ("gpu", "no device 'gpu' for ONNX Runtime; it has: cpu"),
        ("cuda:0", "no device 'cuda:0' for ONNX Runtime; it has: cpu"),
        ("openvino", "no device 'openvino' for ONNX Runtime; it has: cpu"),
        ("azure", "no device 'azure' for ONNX Runtime; it has: cpu"),
        ("", "no device '' for ONNX Runtime; it has: cpu"),
        ("cpu:0", "There is no device 'cpu:0'"),
        ("cuda:", "There is no device 'cuda:'"),
        ("cuda:-1", "There is no device 'cuda:-1'"),
    ],
)
def test_a_device_that_is_not_here_is_refused(device: str, sentence: str) -> None:
    with pytest.raises(UserError) as refused:
        use_device(device)
    assert sentence in refused.value.sentence and refused.value.exit_code == 2
    assert default_device() == "cpu"


def test_the_number_of_a_gpu_is_an_option_of_its_provider() -> None:
    assert with_options(["cuda:1", "cpu"]) == [("CUDAExecutionProvider", {"device_id": "1"}), "CPUExecutionProvider"]
    assert with_options(["CUDAExecutionProvider"]) == ["CUDAExecutionProvider"]


@pytest.mark.usefixtures("with_cuda")
def test_a_device_that_does_not_start_is_not_replaced_by_another(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "net.onnx"
    file.write_bytes(multiply_by(2))
    Store().save("net", file)
    assert devices() == ["cuda", "cpu"]
    use_device("cuda:0")
    with pytest.raises(UserError):
        Session(file)
    with pytest.raises(UserError):
        Store().load("net")
    assert Session(file, ["cpu"]).providers == ["cpu"], "what is named counts"
    assert Store().load("net", "cpu").providers == ["cpu"]
    use_device("cpu")
    with pytest.raises(UserError), serve("net", settings=Settings(device="cuda")):
        pass
