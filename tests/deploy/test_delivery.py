"""A package from a bundle: the same bytes twice, installed in an environment of its own, run by its command."""

import json
import re
import signal
import subprocess
import sys
import urllib.request
import zipfile
from pathlib import Path

import pytest

from helpers.cli import main
from helpers.deploy import delivery
from helpers.deploy.delivery import Package, installed, package
from helpers.errors import UserError
from tests.deploy.test_bundle import ANSWER, QUESTION, folder, pack  # noqa: F401 (a fixture)

QUIET = {"say": lambda line: None}


def said(command: Path, *arguments: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    """What the installed command says, with nothing of the checkout in reach."""
    return subprocess.run(
        [str(command), *arguments], capture_output=True, text=True, check=False, cwd=cwd, env={"PATH": "/usr/bin:/bin"}
    )


def test_the_same_bundle_gives_the_same_wheel(folder: Path, tmp_path: Path) -> None:  # noqa: F811
    bundle = pack(folder)
    one, other = (package(bundle, tmp_path / name, **QUIET) for name in ("a", "b"))
    assert one.wheel.read_bytes() == other.wheel.read_bytes()
    assert package(bundle, tmp_path / "a", release="0.2", **QUIET).wheel.read_bytes() != one.wheel.read_bytes()
    with zipfile.ZipFile(one.wheel) as archive:
        packed = {name.removeprefix("servelab_sum/bundle/") for name in archive.namelist() if "/bundle/" in name}
        metadata = archive.read("sum-0.1.0.dist-info/METADATA").decode()
    assert packed == {*bundle.files, "bundle.json"}
    asked = {
        line.removeprefix("Requires-Dist: ").partition(";")[0].strip() for line in metadata.splitlines() if "==" in line
    }
    assert {f"{name}=={version}" for name, version in bundle.packages.items()} <= asked


def test_it_runs_where_nothing_else_is_installed(folder: Path, tmp_path: Path) -> None:  # noqa: F811
    made = package(pack(folder), tmp_path / "packages", **QUIET)
    command = installed(made, tmp_path / "fresh")
    request = tmp_path / "request.json"
    request.write_bytes(QUESTION)
    assert said(command, "--version", cwd=tmp_path).stdout == f"sum 0.1.0 (bundle {made.bundle.version})\n"
    assert json.loads(said(command, "predict", str(request), cwd=tmp_path).stdout) == ANSWER
    request.write_text('{"left": [[1, 2]], "right": [[1, 2]]}')
    refused = said(command, "predict", str(request), cwd=tmp_path)
    assert refused.returncode == 1 and "left is" in refused.stderr and "Traceback" not in refused.stderr
    for wrong in (["predict", "missing.json"], ["predict", str(request), "--path", "/nothing"]):
        refused = said(command, *wrong, cwd=tmp_path)
        assert refused.returncode == 1 and refused.stderr.startswith("servelab: ")
    _expect_that_it_serves(command)
    _expect_that_a_change_is_refused(command, request, tmp_path)


def _expect_that_it_serves(command: Path) -> None:
    served = subprocess.Popen([str(command), "serve", "--port", "0"], stdout=subprocess.PIPE, text=True)
    assert served.stdout is not None
    try:
        first = served.stdout.readline()
        address = next(word for word in first.split() if word.startswith("http://"))
        asked = urllib.request.Request(f"{address}/total", QUESTION, {"content-type": "application/json"})
        with urllib.request.urlopen(asked, timeout=30) as answer:
            assert json.load(answer) == ANSWER
        served.send_signal(signal.SIGTERM)
        assert "has been answered" in served.stdout.read() and served.wait(30) == 0
    finally:
        served.kill()
        served.wait()
        served.stdout.close()


def _expect_that_a_change_is_refused(command: Path, request: Path, cwd: Path) -> None:
    (model,) = (command.parent.parent).rglob("lab/store/net/1/*.onnx")
    model.write_bytes(model.read_bytes() + b"\n")
    for arguments in (["predict", str(request)], ["serve", "--port", "0"]):
        refused = said(command, *arguments, cwd=cwd)
        assert refused.returncode == 1 and "was changed or is not whole" in refused.stderr


def test_a_model_is_asked_at_its_own_path(folder: Path, tmp_path: Path) -> None:  # noqa: F811
    made = package(pack(folder, "net"), tmp_path / "packages", name="My.Net", **QUIET)
    assert made.name == "my-net" and made.wheel.name == "my_net-0.1.0-py3-none-any.whl"
    request = tmp_path / "request.json"
    request.write_text('{"instances": [{"left": [1, 2, 3], "right": [1, 1, 1]}]}')
    command = installed(made, tmp_path / "fresh")
    told = said(command, "predict", str(request), cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    answer = json.loads(told.stdout)
    assert answer == {"predictions": [{"scaled": [4.0, 7.0, 10.0], "total": 21.0}]}
    assert delivery.tried(made).startswith("my-net 0.1.0 (bundle ")


@pytest.mark.parametrize(
    ("name", "release", "told"),
    [
        ("numpy", "1.0", "another package's name"),
        ("no/name", "1.0", "no name for a package"),
        ("sum", "one", "'one' is no release"),
        ("sum", "1.0+local", "is no release"),
        ("there", "1.0", "is there already"),
    ],
)
def test_what_cannot_be_packaged_is_told(folder: Path, tmp_path: Path, name: str, release: str, told: str) -> None:  # noqa: F811
    (tmp_path / "packages" / "there-1.0").mkdir(parents=True)
    with pytest.raises(UserError, match=told):
        package(pack(folder), tmp_path / "packages", name, release, **QUIET)
    assert [path.name for path in (tmp_path / "packages").iterdir()] == ["there-1.0"]


def test_a_changed_bundle_is_not_packaged(folder: Path, tmp_path: Path) -> None:  # noqa: F811
    bundle = pack(folder)
    (bundle.path / "app" / "shop" / "prices.py").write_text("def surcharge(rows):\n    return 0\n")
    with pytest.raises(UserError, match="was changed after it was packed"):
        package(bundle, tmp_path / "packages", **QUIET)


def test_without_flit_the_remedy_is_told(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setitem(sys.modules, "flit_core", None)
    with pytest.raises(UserError, match="flit_core, which this Python does not have"):
        package(pack(folder), tmp_path / "packages", **QUIET)


def test_the_command_puts_the_wheel_where_it_is_asked_and_names_the_module(
    folder: Path,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bundle, into = pack(folder), tmp_path / "dist"
    assert main(["package", str(bundle.path), "--into", str(into), "--name", "my-sum"]) == 0
    wheel = into / "my_sum-0.1.0-py3-none-any.whl"
    assert sorted(into.iterdir()) == [into / "my-sum-0.1.0", wheel]
    printed = capsys.readouterr().out
    assert f"install it: python -m pip install {wheel}\n" in printed
    found = re.search(r"the module to import: (\w+) ", printed)
    assert found
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    program = f"import {found[1]} as made; print(made.__file__, callable(made.application()))"
    ran = subprocess.run(
        [sys.executable, "-P", "-c", program],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.stdout.split() == [str(tmp_path / "site" / found[1] / "__init__.py"), "True"], ran.stderr
    assert main(["package", str(bundle.path), "--into", str(into), "--name", "my-sum"]) == 2
    assert "is there already" in capsys.readouterr().err


def test_a_package_says_what_it_was_made_of(folder: Path, tmp_path: Path) -> None:  # noqa: F811
    made: Package = package(pack(folder), tmp_path / "packages", **QUIET)
    assert made.bundle.version in (made.folder / "pyproject.toml").read_text()
    assert "sum serve --port 3000" in (made.folder / "README.md").read_text()
