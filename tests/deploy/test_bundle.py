"""Bundles and images of a real service: whole, the same each time, refused when changed, and answering alone."""

import contextlib
import json
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from helpers.bench.server_process import free_port
from helpers.deploy import Bundle, bundle, images, oci, running
from helpers.errors import UserError
from helpers.store import Store
from tests.engine.served import twice_and_sum

SERVICE = """
from helpers import store
from helpers.engine import Batching, Tensor, api, service
from shop.prices import surcharge

@service
class Sum:
    def __init__(self):
        self.model = store.load("net:prod")

    @api(batching=Batching())
    def total(
        self, left: Tensor["float32", "batch", 3], right: Tensor["float32", "batch", 3]
    ) -> Tensor["float32", "batch"]:
        return self.model(left, right)[1] + surcharge(len(left))
"""
QUESTION = json.dumps({"left": [[1, 2, 3]], "right": [[1, 1, 1]]}).encode()
ANSWER = [15.0 + 10.0]  # 2 × (1 + 2 + 3) + 3, and the surcharge


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A service in a package of its own, beside things that it does not need, and a store with its model."""
    monkeypatch.setenv("SERVELAB_HOME", str(tmp_path / "lab"))
    store = Store()
    store.save("net", twice_and_sum(tmp_path / "net.onnx", 2.0))
    store.alias("net:1", "prod")
    store.save("net", twice_and_sum(tmp_path / "net.onnx", 3.0))
    made = tmp_path / "code"
    (made / "shop").mkdir(parents=True)
    (made / "shop" / "__init__.py").touch()
    (made / "shop" / "adder.py").write_text(SERVICE, "utf-8")
    (made / "shop" / "prices.py").write_text("import numpy\n\ndef surcharge(rows):\n    return numpy.float32(10)\n")
    (made / "secret.env").write_text("PASSWORD=x")
    (made / "unused.py").write_text("x = 1")
    return made


def pack(folder: Path, target: str = "shop.adder:Sum", into: str = "bundles") -> Bundle:
    return bundle(target, folder.parent / into, folder, say=lambda line: None)


@contextlib.contextmanager
def started(command: Sequence[str], environment: dict[str, str] | None = None) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        yield process
    finally:
        running.end(process)  # type: ignore[arg-type]
        process.wait()
        process.stdout.close()  # type: ignore[union-attr]


def ask(process: "subprocess.Popen[str]", port: int, path: str = "/total", body: bytes = QUESTION) -> Any:
    url, headers = f"http://127.0.0.1:{port}{path}", {"content-type": "application/json"}
    gives_up = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=10) as answer:
                return json.load(answer)
        except urllib.error.HTTPError:
            raise
        except OSError:
            if process.poll() is not None or time.monotonic() > gives_up:
                raise AssertionError(process.stdout.read()) from None  # type: ignore[union-attr]
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.05)


def test_a_bundle_holds_what_the_service_needs_and_nothing_else(folder: Path) -> None:
    made = pack(folder)
    names = set(made.files)
    assert {"app/shop/__init__.py", "app/shop/adder.py", "app/shop/prices.py"} <= names
    assert not any("unused" in name or "secret" in name or "__pycache__" in name for name in names)
    assert {name for name in names if name.startswith("lab/store/net/1/")} and "lab/store/net/2" not in str(names)
    assert {"run.py", "Dockerfile", "openapi.json", "requirements.txt", "README.md"} <= names
    assert not made.changed()
    assert "/total" in json.loads((made.path / "openapi.json").read_text())["paths"]
    lock = (made.path / "requirements.txt").read_text()
    assert "onnxruntime==" in lock and all("==" in line for line in lock.splitlines())
    assert not {"torch", "tensorflow-cpu", "scikit-learn", "onnx", "pandas"} & set(made.packages)


def test_packing_twice_gives_the_same_bytes_and_a_change_another_version(folder: Path) -> None:
    one, other = pack(folder), pack(folder, into="others")
    assert one.version == other.version
    for name in [*one.files, "bundle.json"]:
        assert (one.path / name).read_bytes() == (other.path / name).read_bytes()
    Store().alias("net:2", "prod")
    assert pack(folder).version != one.version


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("shop.adder:Nothing", "has no service Nothing"),
        ("shop.nothing:Sum", "There is no module shop.nothing"),
        ("__main__:Sum", "no service Sum"),
        ("shop.broken:Sum", "needs no_such_package"),
        ("shop.modelless:Sum", "no model called 'missing'"),
        ("missing", "no model called 'missing'"),
    ],
)
def test_what_cannot_be_packed_is_told_before_anything_is_written(folder: Path, target: str, told: str) -> None:
    (folder / "shop" / "broken.py").write_text("import no_such_package\n" + SERVICE)
    (folder / "shop" / "modelless.py").write_text(SERVICE.replace("net:prod", "missing"))
    with pytest.raises(UserError, match=told):
        pack(folder, target)
    assert not list((folder.parent / "bundles").glob("*"))


def test_it_answers_where_neither_the_checkout_nor_its_store_is(folder: Path, tmp_path: Path) -> None:
    made = pack(folder)
    moved = shutil.copytree(made.path, tmp_path / "elsewhere with a space")
    shutil.rmtree(folder)
    shutil.rmtree(tmp_path / "lab")
    port = free_port()
    variables = {"PORT": str(port), "PATH": "/usr/bin:/bin", "PYTHONPATH": str(site_packages(tmp_path, made))}
    with started([sys.executable, "-S", str(moved / "run.py")], variables) as process:
        assert ask(process, port) == ANSWER
        check = [sys.executable, str(moved / "run.py"), "--check"]
        assert subprocess.run(check, env=variables, check=False).returncode == 0
        running.end(process)  # type: ignore[arg-type]
        assert process.wait(20) == 0
    assert subprocess.run(check, env=variables, check=False).returncode == 1
    assert not Bundle.read(moved).changed(), "a run changes nothing in it"


def site_packages(tmp_path: Path, made: Bundle) -> Path:
    """A folder with exactly the packages of the lock."""
    from helpers.deploy.system import PACKAGES, packages_layer

    folder = tmp_path / "packages"
    for entry in packages_layer(list(made.packages)).entries:
        target = folder / entry.path.removeprefix(PACKAGES.lstrip("/") + "/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(entry.source)  # type: ignore[arg-type]
    return folder


@pytest.mark.parametrize("name", ["model", "app/shop/prices.py", "missing"])
def test_a_bundle_that_was_changed_does_not_start(folder: Path, name: str) -> None:
    made = pack(folder)
    if name == "model":
        name = next(each for each in made.files if each.endswith(".onnx"))
    path = made.path / (name if name != "missing" else "app/shop/prices.py")
    path.write_bytes(path.read_bytes() + b"\n") if name != "missing" else path.unlink()
    ran = subprocess.run([sys.executable, str(made.path / "run.py")], capture_output=True, text=True, check=False)
    assert ran.returncode == 1 and "was changed or is not whole" in ran.stderr and "Traceback" not in ran.stderr
    with pytest.raises(UserError, match="was changed after it was packed"):
        images.build(made, "python")


def test_a_folder_that_is_no_bundle_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no bundle"):
        Bundle.read(tmp_path)


def test_a_model_of_the_store_can_be_packed_by_its_tag(folder: Path) -> None:
    made = pack(folder, "net")
    assert made.name == "net" and not any(name.startswith("app/") for name in made.files)
    port = free_port()
    with started([sys.executable, str(made.path / "run.py")], {"PORT": str(port), "PATH": "/usr/bin:/bin"}) as process:
        rows = {"instances": [{"left": [1, 2, 3], "right": [1, 1, 1]}]}
        found = ask(process, port, "/v1/models/net:predict", json.dumps(rows).encode())
        assert found["predictions"] == [{"scaled": [4.0, 7.0, 10.0], "total": 21.0}], "the newest version"


def test_the_dockerfile_is_what_a_linter_wants(folder: Path) -> None:
    hadolint = shutil.which("hadolint") or shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if not hadolint:
        pytest.skip("hadolint is not installed")
    made = pack(folder)
    ran = subprocess.run([hadolint, str(made.path / "Dockerfile")], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="an image holds Linux's libraries")
def test_an_image_built_in_python_answers_and_ends_when_told(folder: Path) -> None:
    made = pack(folder)
    said: list[str] = []
    built = images.build(made, "python", said.append)
    assert built.reference == f"sum:{made.version}" and built.packed and built.packed < built.unpacked
    again = images.build(made, "python", said.append)
    assert again.unpacked == built.unpacked and all("was there already" in line for line in said[4:])
    assert [row[0] for row in images.listed()] == [built.reference]
    files = [entry for layer in (images._app_layer(made),) for entry in layer.entries]
    assert all("secret" not in entry.path for entry in files)
    port = free_port()
    try:
        command = running.unpacked(built.reference, port)
        with command as start, started(start) as process:
            assert ask(process, port) == ANSWER
            running.end(process)  # type: ignore[arg-type]
            assert process.wait(30) in (0, -signal.SIGTERM)
            assert "what was accepted has been answered" in process.stdout.read()  # type: ignore[union-attr]
    except UserError as error:
        pytest.skip(f"nothing here can run an image: {error.remedy}")


@pytest.mark.skipif(not shutil.which("skopeo"), reason="skopeo is not installed")
def test_skopeo_finds_the_image_whole(folder: Path, tmp_path: Path) -> None:
    built = images.build(pack(folder), "python", lambda line: None)
    target = f"oci-archive:{tmp_path / 'image.tar'}"
    subprocess.run(["skopeo", "copy", "-q", f"oci:{images.layout()}:{built.reference}", target], check=True)
    told = subprocess.run(["skopeo", "inspect", "--config", target], capture_output=True, text=True, check=True)
    assert json.loads(told.stdout)["config"]["User"] == "10001:10001"


def test_an_image_that_is_not_there_is_told(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is no image 'other:1'"):
        running.start_command("other:1", tmp_path, 3000)
    assert oci.manifests(images.layout()) == []
