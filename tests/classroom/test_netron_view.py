"""Netron from this machine: the page, its scripts and the model, and nothing else."""

import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.classroom import NetronView, browser
from helpers.classroom.netron_view import NetronServer
from helpers.errors import UserError


@pytest.fixture
def server() -> Iterator[NetronServer]:
    server = NetronServer()
    yield server
    server.close()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "digits.onnx"
    path.write_bytes(b"graph")
    (tmp_path / "digits.onnx.data").write_bytes(b"weights")
    (tmp_path / "secret.txt").write_bytes(b"secret")
    return path


def fetch(server: NetronServer, target: str) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/{target}") as answer:
        return bytes(answer.read())


def test_the_page_its_scripts_and_both_files_of_the_model(server: NetronServer, model: Path) -> None:
    name = server.publish(model)
    page = fetch(server, f"{name}/").decode()
    assert '<meta name="file" content="model/digits.onnx">' in page
    assert 'name="date"' not in page, "with its date, Netron refuses to work half a year later"
    assert '<meta name="version" content="0.0.0">' in page, "with its version, Netron reports to the internet"
    assert b"Netron" in fetch(server, f"{name}/index.js") or fetch(server, f"{name}/view.js")
    assert fetch(server, f"{name}/model/digits.onnx?cb=1") == b"graph"
    assert fetch(server, f"{name}/model/digits.onnx.data") == b"weights"


def test_two_models_at_once(server: NetronServer, model: Path) -> None:
    other = model.with_name("other.onnx")
    other.write_bytes(b"other")
    names = [server.publish(model), server.publish(other), server.publish(model)]
    assert names[0] == names[2] != names[1]
    assert fetch(server, f"{names[0]}/model/digits.onnx") == b"graph"
    assert fetch(server, f"{names[1]}/model/other.onnx") == b"other"


@pytest.mark.parametrize(
    "target",
    [
        "",
        "nobody/",
        "{name}",
        "{name}/model/secret.txt",
        "{name}/model/../secret.txt",
        "{name}/model/..%2fsecret.txt",
        "{name}/model/digits.onnx/../secret.txt",
        "{name}/../server.py",
        "{name}/server.py",
        "{name}/__init__.py",
        "{name}/.hidden.js",
        "{name}/no-such.js",
    ],
)
def test_nothing_else_is_served(server: NetronServer, model: Path, target: str) -> None:
    with pytest.raises(urllib.error.HTTPError, match="404"):
        fetch(server, target.format(name=server.publish(model)))


def test_the_view_is_a_frame_with_a_title_and_a_link(model: Path) -> None:
    view = NetronView(model)
    shown = view._repr_html_()
    assert "<iframe" in shown and "title='Netron: the graph of digits.onnx'" in shown
    assert "Open digits.onnx in a tab of its own" in shown
    assert view.address in repr(view)


def test_a_missing_model_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no model file .*none.onnx"):
        NetronView(tmp_path / "none.onnx")


def test_the_address_leads_through_whatever_serves_this_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv("JUPYTERHUB_SERVICE_PREFIX", raising=False)
    assert browser.address_of(4000) == "http://127.0.0.1:4000/", "no Jupyter server: the kernel's own machine"

    server_file = tmp_path / f"jpserver-{os.getppid()}.json"
    server_file.write_text(json.dumps({"base_url": "/"}))
    assert browser.address_of(4000) == "/proxy/4000/"
    server_file.write_text(json.dumps({"base_url": "/behind/a/proxy/"}))
    assert browser.address_of(4000) == "/behind/a/proxy/proxy/4000/"

    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/learner/")
    assert browser.address_of(4000) == "/user/learner/proxy/4000/"

    monkeypatch.setattr(browser.importlib.util, "find_spec", lambda name: None)
    assert browser.address_of(4000) == "http://127.0.0.1:4000/", "without the proxy package there is no such way"
