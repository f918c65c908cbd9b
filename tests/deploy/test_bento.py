"""BentoML's form of a bundle: really built, without a network, really served, and its answers are onnxruntime's."""

import json
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from helpers.bench.server_process import ServerProcess
from helpers.deploy import Bundle, bento, bundle
from helpers.errors import UserError
from tests.deploy.packed import packed_sum

pytest.importorskip("bentoml", reason="bentoml is not installed")

ROWS = {"left": [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], "right": [[1.0, 1.0, 1.0], [0.5, 0.0, -1.0]]}
OTHERS = """
from helpers.engine import Batching, Image, Table, Tensor, api, service

@service(timeout=5.0)
class Forms:
    @api(batching=Batching(largest=16))
    def twice(self, rows: Tensor["int64", "batch", 2]) -> Tensor["int64", "batch", 2]:
        return rows * 2

    @api
    def size(self, photo: Image["L"]) -> list[int]:
        return list(photo.shape)

    @api
    async def count(self, words: list[str], most: int) -> dict[str, int]:
        return {"words": min(len(words), most)}

@service
class Tables:
    @api
    def price(self, rows: Table[{"age": "float32"}]) -> list[float]:
        return rows["age"].tolist()

@service
class Streams:
    @api
    def each(self, most: int):
        yield from range(most)
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bento")
    packed_sum(folder)
    return folder


def quiet(line: str) -> None:
    pass


def expected(folder: Path) -> list[Any]:
    session = onnxruntime.InferenceSession(folder / "net.onnx", providers=["CPUExecutionProvider"])
    return session.run(None, {name: np.array(rows, np.float32) for name, rows in ROWS.items()})  # type: ignore[no-any-return]


def served(built: bento.Built, home: Path) -> ServerProcess:
    command = [sys.executable, "-m", "bentoml", "serve", str(built.path), "--host", "127.0.0.1", "--port", "{port}"]
    known = {"BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "True"}
    return ServerProcess(command, folder=home, environment=known)


def ask(server: ServerProcess, path: str, question: Any) -> Any:
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(f"{server.address}{path}", json.dumps(question).encode(), headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def test_a_bento_is_built_and_served_and_answers_as_onnxruntime_does(place: Path) -> None:
    (packed,) = [Bundle.read(path) for path in (place / "bundles").glob("Sum-*")]
    said: list[str] = []
    project = bento.project(packed, place / "projects")
    home = place / "home"
    built = bento.build(project, said.append, home)
    assert built.tag == packed.reference and built.path.is_relative_to(home) and len(said) == 2
    assert built.size == sum(file.stat().st_size for file in built.path.rglob("*") if file.is_file())
    assert built.dockerfile.count("FROM python:") == 1 and "USER bentoml" in built.dockerfile
    lock = (built.path / "env" / "python" / "requirements.txt").read_text().splitlines()
    assert set((packed.path / "requirements.txt").read_text().splitlines()) < set(lock)
    assert all("==" in line for line in lock) and any(line.startswith("bentoml==") for line in lock)
    with served(built, home) as server:
        assert ask(server, "/total", ROWS) == expected(place)[1].tolist()
        with pytest.raises(urllib.error.HTTPError) as refused:
            ask(server, "/slowly", {"seconds": "long"})
        refused.value.close()
        assert refused.value.code == 400
    again = bento.build(project, quiet, home)
    assert again.tag == built.tag and again.dockerfile == built.dockerfile


def test_a_bento_of_a_changed_model_does_not_start(place: Path) -> None:
    (packed,) = [Bundle.read(path) for path in (place / "bundles").glob("Sum-*")]
    project = bento.project(packed, place / "changed")
    (model,) = project.rglob("*.onnx")
    model.write_bytes(model.read_bytes() + b"\n")
    with pytest.raises(UserError, match=r"bentoml did not build it: .*was changed or is not whole: .*onnx"):
        bento.build(project, quiet, place / "changed-home")


def test_a_model_of_the_store_has_one_api(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVELAB_HOME", str(place / "lab"))
    packed = bundle("net", place / "models", place, say=quiet)
    project = bento.project(packed, place / "models")
    assert "def predict(self, left: Float32Array, right: Float32Array)" in (project / "service.py").read_text()
    built = bento.build(project, quiet, place / "home")
    scaled, total = expected(place)
    with served(built, place / "home") as server:
        assert ask(server, "/predict", ROWS) == {"scaled": scaled.tolist(), "total": total.tolist()}


def test_each_form_of_an_api_is_written(place: Path, tmp_path: Path) -> None:
    (tmp_path / "forms.py").write_text(OTHERS)
    project = bento.project(bundle("forms:Forms", tmp_path, tmp_path, say=quiet), tmp_path)
    text = (project / "service.py").read_text()
    for line in (
        "    @bentoml.api(batchable=True, max_batch_size=16)\n    def twice(self, rows: Int64Array) -> Int64Array:\n",
        "    def size(self, photo: Image) -> list[int]:\n",
        '        return self.packed.size(np.asarray(photo.convert("L")))\n',
        "    async def count(self, words: list[str], most: int) -> dict[str, int]:\n",
        "        return await self.packed.count(words, most)\n",
        'Int64Array = Annotated[np.ndarray, DType("int64")]\n',
        'traffic={"timeout": 5.0}',
    ):
        assert line in text
    built = bento.build(project, quiet, place / "home")
    with served(built, place / "home") as server:
        assert ask(server, "/twice", {"rows": [[1, 2]]}) == [[2, 4]]
        assert ask(server, "/count", {"words": ["a", "b"], "most": 1}) == {"words": 1}
    for name, told in {"Tables": "rows of price is a table", "Streams": "each streams"}.items():
        packed = bundle(f"forms:{name}", tmp_path, tmp_path, say=quiet)
        with pytest.raises(UserError, match=told):
            bento.project(packed, tmp_path)


def test_a_build_asks_no_network_and_installs_nothing(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """BentoML's own command would have pip install uv here, and pip has nowhere to find it."""
    (packed,) = [Bundle.read(path) for path in (place / "bundles").glob("Sum-*")]
    project = bento.project(packed, place / "offline")
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), "/usr/bin", "/bin"]))
    for name, value in {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": ""}.items():
        monkeypatch.setenv(name, value)
    assert bento.build(project, quiet, place / "offline-home").path.is_dir()


def test_what_is_there_already_and_what_was_changed_are_told(place: Path) -> None:
    (packed,) = [Bundle.read(path) for path in (place / "bundles").glob("Sum-*")]
    bento.project(packed, place / "twice")
    with pytest.raises(UserError, match="is there already"):
        bento.project(packed, place / "twice")
    with pytest.raises(UserError, match="is no bundle"):
        bento.build(place, quiet)
