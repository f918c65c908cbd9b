"""Bundles under the contracts of platforms: started, asked and ended as those would do it."""

import json
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from helpers.bench.server_process import free_port
from helpers.deploy import Bundle, images, targets
from helpers.deploy.targets import functions_host, pods
from helpers.deploy.targets.runtime_api import LocalLambda, request
from helpers.deploy.targets.trial import Instance, ask, bundle_command, cold_start, is_ready, question_of
from helpers.errors import UserError
from helpers.wire.native import to_npy
from tests.deploy.packed import ANSWER, QUESTION, packed_sum

ROWS = np.array([[1.5, -2.0]], np.float32)


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return packed_sum(tmp_path_factory.mktemp("packed"))


def written(platform: str, packed: Bundle, into: Path) -> Path:
    return targets.write(platform, packed, into, say=lambda line: None)


# Cloud Run: PORT, and SIGTERM.


def test_it_listens_on_the_port_it_is_told_and_answers_what_was_accepted_before_its_end(packed: Bundle) -> None:
    port = free_port()
    with Instance(bundle_command(packed), port) as instance:
        instance.wait()
        assert ask(port, "/total", QUESTION) == ANSWER
        answers: list[bytes] = []
        asking = threading.Thread(target=lambda: answers.append(ask(port, "/slowly", b'{"seconds": 0.5}')))
        asking.start()
        assert instance.process.stdout
        while "at work" not in instance.process.stdout.readline():
            assert instance.process.poll() is None
        assert instance.end() == 0, "it ended by itself, within the grace time"
        asking.join()
    assert answers == [b'"done"'] and "what was accepted has been answered" in instance.said
    assert not is_ready(port)


def test_what_does_not_end_is_killed() -> None:
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    with Instance([sys.executable, "-c", deaf], free_port(), grace=0.2) as instance:
        assert instance.process.stdout and instance.process.stdout.readline() == "up\n"
        assert instance.end() < 0


def test_what_does_not_start_is_told_with_its_own_words() -> None:
    with (
        Instance([sys.executable, "-c", "print('no model')"], free_port()) as instance,
        pytest.raises(UserError, match="no model"),
    ):
        instance.wait()


def test_a_cold_start_is_measured_from_nothing_to_the_first_answer(packed: Bundle) -> None:
    path, example = question_of(packed)
    found = cold_start(bundle_command(packed), free_port(), path, example)
    assert path == "/same" and json.loads(example).keys() == {"rows"}, "the first in its description"
    assert 0 < found.ready < found.answered and found.warm > 0


def sealed(packed: Bundle) -> list[str]:
    """The command of a bundle where nothing at all can be written to."""
    seal = "mount -o remount,bind,ro / && for each in /tmp /dev/shm; do mount --rbind $each $each"
    seal += " && mount -o remount,bind,ro $each || exit 9; done"
    script = f'{seal}; touch "$1/x" 2>/dev/null && exit 8; exec "$2" -B "$1/run.py"'
    around = ["unshare", "--user", "--map-root-user", "--mount"]
    if not shutil.which("unshare") or subprocess.run([*around, "true"], capture_output=True, check=False).returncode:
        pytest.skip("there are no namespaces for this user to make a file system read-only in")
    return [*around, "sh", "-c", script, "sh", str(packed.path), sys.executable]


def test_a_file_system_that_is_read_only_is_enough(packed: Bundle) -> None:
    """As in a cluster with readOnlyRootFilesystem, and with no /tmp either."""
    port = free_port()
    with Instance(sealed(packed), port) as instance:
        instance.wait()
        assert ask(port, "/total", QUESTION) == ANSWER
        assert instance.end() == 0, instance.said
    assert "Traceback" not in instance.said


def test_several_workers_ask_for_a_place_to_write(packed: Bundle) -> None:
    with (
        Instance(sealed(packed), free_port(), {"WORKERS": "2"}) as instance,
        pytest.raises(UserError, match="did not start") as raised,
    ):
        instance.wait()
    assert "mount one at /tmp" in raised.value.remedy and "Traceback" not in raised.value.remedy


def test_a_port_that_is_taken_is_told(packed: Bundle) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = [*bundle_command(packed)]
        ran = subprocess.run(command, env={"PORT": str(port)}, capture_output=True, text=True, check=False)
    assert ran.returncode == 1 and "cannot be used" in ran.stderr and "Traceback" not in ran.stderr


# Kubernetes: the Deployment itself, played by podman.


@pytest.mark.skipif(bool(pods.why_not()), reason=pods.why_not() or "podman works")
def test_podman_plays_the_deployment(packed: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVELAB_HOME", str(tmp_path / "lab"))
    images.build(packed, "python", lambda line: None)
    folder, port = written("kubernetes", packed, tmp_path / "a"), free_port()
    try:
        with pods.played(folder, port) as pod:
            pod.wait()
            assert ask(port, "/total", QUESTION) == ANSWER
            told = json.loads(pod.podman("inspect", pod.container))[0]
            assert told["Config"]["User"] == "10001:10001" and told["HostConfig"]["ReadonlyRootfs"]
            write = "import os; open('/tmp/x', 'w').close(); print(os.getuid(), os.access('/app', os.W_OK))"
            assert pod.podman("exec", pod.container, "/opt/python/bin/python3", "-c", write) == "10001 False"
            pod.podman("stop", "--time", "10", pod.container)
            assert "what was accepted has been answered" in pod.podman("logs", pod.container)
        assert not is_ready(port)
    finally:
        found = subprocess.run(["podman", "images", "-q", packed.reference], capture_output=True, text=True, check=True)
        subprocess.run(["podman", "rmi", "--force", *found.stdout.split()[:1]], capture_output=True, check=False)


def test_without_podman_that_is_said(packed: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="podman is not installed"), pods.played(tmp_path, 1):
        pass


# AWS Lambda: Amazon's own client of the Runtime API, and a Runtime API.


@pytest.fixture(scope="module")
def function(packed: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("awslambdaric", reason="awslambdaric exists for Linux only")
    return written("lambda", packed, tmp_path_factory.mktemp("lambda") / "a")


def test_lambda_answers_one_event_after_the_other_on_one_loop(function: Path) -> None:
    with LocalLambda(function) as started:
        answers = [started.invoke(request("POST", "/total", QUESTION)) for _ in range(3)]
        assert {answer["body"] for answer in answers} == {ANSWER.decode()}
        numbers = [answer["headers"]["x-request-id"].rpartition("-") for answer in answers]
        assert len({run for run, _, _ in numbers}) == 1 and [number for *_, number in numbers] == ["1", "2", "3"]
        assert started.invoke(request("GET", "/readyz"))["statusCode"] == 200, "it was ready before the first event"
        refused = started.invoke(request("POST", "/total", b'{"left": 1}'))
        assert refused["statusCode"] == 422 and "right is missing" in refused["body"]
        assert started.init_seconds > 0 and started.is_running
    assert not started.is_running


def test_lambda_carries_bytes(function: Path) -> None:
    import base64

    sent = {"content-type": "application/x-npy", "accept": "application/x-npy"}
    with LocalLambda(function) as started:
        answer = started.invoke(request("POST", "/same", to_npy(ROWS), sent))
    assert answer["isBase64Encoded"] and base64.b64decode(answer["body"]) == to_npy(ROWS)


def test_an_event_that_is_no_request_fails_alone(function: Path) -> None:
    with LocalLambda(function) as started:
        with pytest.raises(UserError, match="unable to infer a handler"):
            started.invoke({"Records": []})
        assert started.invoke(request("POST", "/total", QUESTION))["body"] == ANSWER.decode()


def test_a_function_whose_bundle_was_changed_does_not_start(function: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(function, tmp_path / "copy"))
    (model,) = (folder / "bundle").rglob("*.onnx")
    model.write_bytes(model.read_bytes() + b"\n")
    with (
        pytest.raises(UserError, match="does not start") as raised,
        LocalLambda(folder),
    ):
        pass
    assert "was changed or is not whole" in raised.value.remedy


def test_a_function_that_ends_is_told(function: Path) -> None:
    with (
        pytest.raises(UserError, match="does not start") as raised,
        LocalLambda(function, command=[sys.executable, "-c", "raise SystemExit(3)"]),
    ):
        pass
    assert "ended with code 3" in raised.value.remedy


# Azure Functions: the function that its host would call.


@pytest.fixture(scope="module")
def function_app(packed: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("azure.functions", reason="azure-functions is not installed")
    return written("azure", packed, tmp_path_factory.mktemp("azure") / "a")


def test_azure_answers_every_path_of_the_service(function_app: Path) -> None:
    questions = [("POST", "/total", QUESTION), ("GET", "/readyz", b""), ("GET", "/no", b""), ("POST", "/total", b"{")]
    answers = functions_host.ask(function_app, questions)
    assert [status for status, _ in answers] == [200, 200, 404, 400]
    assert answers[0][1] == ANSWER and answers[1][1] == b'{"ready":true}'


def test_azure_carries_bytes(function_app: Path) -> None:
    ((status, body),) = functions_host.ask(function_app, [("POST", "/same", to_npy(ROWS))], "application/x-npy")
    assert status == 200 and body == to_npy(ROWS)


def test_a_function_app_whose_bundle_was_changed_does_not_start(function_app: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(function_app, tmp_path / "copy"))
    (folder / "bundle" / "app" / "adder.py").write_text("")
    with pytest.raises(UserError, match="does not answer") as raised:
        functions_host.ask(folder, [("GET", "/readyz", b"")])
    assert "was changed or is not whole" in raised.value.remedy
