"""``doctor``: every finding has its remedy, and machines can read it."""

import json
import socket
from pathlib import Path

import pytest

from helpers.classroom import doctor
from helpers.classroom.doctor import Finding
from helpers.cli import main
from helpers.cli.doctor import describe

NAMES = ["Python", "packages", "cores", "memory", "disk", "write access", "providers", "GPU", "ports", "containers"]
NAMES += ["Netron", "browser proxy"]


def test_the_examination_is_complete_and_fits_one_screen(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["doctor"])
    said = capsys.readouterr().out
    assert all(name in said for name in NAMES)
    assert len(said.splitlines()) <= 40
    assert code == (1 if "PROBLEM" in said else 0)


def test_machines_get_the_same_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["doctor", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert [finding["name"] for finding in told["findings"]] == NAMES
    assert told["healthy"] == (code == 0)
    assert all(finding["remedy"] for finding in told["findings"] if finding["status"] == "problem")


def test_the_quick_examination_loads_no_framework() -> None:
    import subprocess
    import sys

    program = "import sys; from helpers import classroom; classroom.ready(); print(sorted(sys.modules))"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert said.startswith("Ready: "), said[:200]
    for heavy in ("torch", "onnxruntime", "tensorflow", "numpy", "matplotlib"):
        assert f"'{heavy}'" not in said


def test_a_version_that_differs_from_its_pin_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor.packages().status == "ok", doctor.packages().detail
    monkeypatch.setattr(doctor, "pins", lambda: dict.fromkeys(doctor.CORE_PACKAGES, "0.1"))
    found = doctor.packages()
    assert found.status == "problem" and "torch is" in found.detail and found.remedy


def test_missing_packages_are_named_or_summed_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "CORE_PACKAGES", ["numpy", "onnx", "no-such-package"])
    assert doctor.packages().detail == "not installed: no-such-package"
    monkeypatch.setattr(doctor, "CORE_PACKAGES", ["no-such-package", "nor-this-one"])
    assert doctor.packages().detail == "the course's packages are not installed yet"


@pytest.mark.parametrize(("free", "status"), [(10**6, "problem"), (10**13, "ok")], ids=["a full disk", "an empty disk"])
def test_disk(free: int, status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage:
        pass

    Usage.free = free
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: Usage)
    assert doctor.disk().status == status


def test_little_memory_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_memory", lambda: (4 * doctor.GIB, doctor.GIB))
    assert doctor.memory().status == "problem"
    monkeypatch.setattr(doctor, "_memory", lambda: (None, None))
    assert doctor.memory().status == "note"


def test_a_folder_that_cannot_be_written_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    monkeypatch.setenv("SERVELAB_HOME", str(in_the_way / "lab"))
    found = doctor.write_access()
    assert found.status == "problem" and "SERVELAB_HOME" in found.remedy


def test_a_taken_port_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setattr(doctor, "PORTS", {taken.getsockname()[1]: "serve"})
        assert doctor.ports().status == "note"
    assert doctor.ports().status == "ok"


def test_a_docker_without_its_daemon_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.shutil, "which", lambda name: name if name == "docker" else None)
    monkeypatch.setattr(doctor, "_ask", lambda *command: "")
    assert doctor.containers().detail == "docker (its daemon does not answer)"
    monkeypatch.setattr(doctor, "_ask", lambda *command: "28.0")
    assert doctor.containers().detail == "docker"


def test_behind_a_hub_a_missing_proxy_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None)
    assert doctor.browser_proxy().status == "note"
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/learner/")
    assert doctor.browser_proxy().status == "problem"


def test_a_finding_is_a_line_and_its_remedy_another() -> None:
    assert describe(Finding("disk", "ok", "9 GB free")) == "ok      disk          9 GB free"
    assert "\n" in describe(Finding("disk", "problem", "1 GB free", "free some space"))
