"""Images by real engines: built on a base of Debian's packages, asked, limited, ended; and what is said of failures."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.bench.server_process import free_port
from helpers.deploy import Bundle, containers, engines, images, pip_settings, sandbox
from helpers.deploy.images import Made
from helpers.deploy.targets.trial import ask, is_ready
from helpers.errors import UserError
from helpers.places import ROOT
from tests.deploy import base_image
from tests.deploy.packed import ANSWER, QUESTION, packed_sum

SECRET = "hidden-from-images.invalid"
linux = pytest.mark.skipif(sys.platform != "linux", reason="images are of Linux")


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return packed_sum(tmp_path_factory.mktemp("packed"))


@dataclass(frozen=True)
class Build:
    engine: str
    made: Made
    said: list[str]


@pytest.fixture(scope="module", params=engines.ENGINES)
def built(request: pytest.FixtureRequest, packed: Bundle) -> Iterator[Build]:
    """The bundle's image, by each engine that works here; pip's settings held something that nobody may see."""
    with pytest.MonkeyPatch.context() as patch:
        base_image.prepare(request.param, patch)
        patch.setenv("PIP_TRUSTED_HOST", SECRET)
        lines: list[str] = []
        made = images.build(packed, request.param, lines.append, base=base_image.NAME)
        yield Build(request.param, made, lines)


class Foreground:
    """``image run`` of the command line, as a person starts it."""

    def __init__(self, engine: str, reference: str, *options: str) -> None:
        self.port = free_port()
        command = [sys.executable, "-m", "helpers", "image", "run", reference, "--with", engine]
        self.process = subprocess.Popen(
            [*command, "--port", str(self.port), *options],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def wait(self) -> None:
        while not is_ready(self.port):
            assert self.process.poll() is None, self.process.communicate()[0]

    def end(self) -> str:
        self.process.terminate()
        return self.process.communicate(timeout=60)[0]


# By each engine that works here.


def test_it_answers_as_onnxruntime_does_and_ends_when_told(built: Build, packed: Bundle) -> None:
    (model,) = packed.path.rglob("*.onnx")
    rng = np.random.default_rng(7)
    left, right = (rng.standard_normal((5, 3)).astype(np.float32) for _ in range(2))
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    expected = session.run(None, {"left": left, "right": right})[1]
    runs = Foreground(built.engine, built.made.reference)
    try:
        runs.wait()
        body = json.dumps({"left": left.tolist(), "right": right.tolist()}).encode()
        np.testing.assert_array_equal(np.float32(json.loads(ask(runs.port, "/total", body))), expected)
    finally:
        said = runs.end()
    assert runs.process.returncode == 0 and "what was accepted has been answered" in said
    assert not is_ready(runs.port)
    if built.engine != "docker":
        assert base_image.containers(built.engine) == "", "nothing is left of it"


def test_each_step_is_shown_and_the_image_is_listed(built: Build) -> None:
    steps = [line for line in built.said if engines.STEP.match(line)]
    assert any("compileall" in line for line in steps) and len(steps) > 10
    (found,) = [image for image in engines.all_held() if image.reference == built.made.reference]
    assert found.engine in (built.engine, "podman"), "which sees what buildah holds"
    assert found.size == built.made.unpacked > 100e6
    assert [found.reference, found.engine, found.number, "", f"{found.size / 1e6:.0f} MB"] in images.table()


def test_nothing_of_pips_settings_stays_in_it(built: Build, packed: Bundle, tmp_path: Path) -> None:
    archive = tmp_path / "image.tar"
    saved = {
        "docker": ["docker", "save", "--output", str(archive), built.made.reference],
        "podman": ["podman", "save", "--quiet", "--output", str(archive), built.made.reference],
        "buildah": ["buildah", "push", "--quiet", built.made.reference, f"docker-archive:{archive}"],
    }
    base_image.said(*saved[built.engine])
    names, texts, contents = set(), b"", b""
    with tarfile.open(archive) as image:
        for member in image.getmembers():
            blob = image.extractfile(member)
            content = blob.read() if blob else b""
            if not member.name.endswith(".tar"):
                texts += content
            elif content:
                contents += content if SECRET.encode() in content else b""
                blob.seek(0)  # type: ignore[union-attr]
                with tarfile.open(fileobj=blob) as layer:
                    names |= {each.name.removeprefix("./") for each in layer.getmembers()}
    assert b"servelab.bundle" in texts and b"ENTRYPOINT" in texts and "app/run.py" in names, "it was looked into"
    assert SECRET.encode() not in texts and not contents
    assert not {name for name in names if name in ("etc/pip.conf", "run/secrets/pipcert", "build/requirements.txt")}


def test_what_cannot_be_reached_is_told_and_nothing_is_left(
    built: Build, packed: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = engines.all_held()
    with pytest.raises(UserError, match="localhost/no-such-base:1 is not here") as refused:
        images.build(packed, built.engine, lambda line: None, base="localhost/no-such-base:1")
    assert "--base" in refused.value.remedy
    with socket.socket() as closed:  # bound, and nobody listens
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{closed.getsockname()[1]}/simple")
        monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "")
        monkeypatch.setenv("PIP_RETRIES", "1")
        other = _another_base(built.engine)
        with pytest.raises(UserError, match="package index cannot be reached") as refused:
            images.build(packed, built.engine, lambda line: None, base=other)
    assert "pip config list" in refused.value.remedy
    assert engines.all_held() == before
    if built.engine != "docker":
        assert base_image.containers(built.engine) == ""


def _another_base(engine: str) -> str:
    """The same with another digest, so that no layer is found again."""
    name = base_image.NAME.replace(":1", ":2")
    build = [engine, "build", "--quiet", "--tag", name, "-"]
    recipe = f"FROM {base_image.NAME}\nLABEL other=1\n"
    subprocess.run(build, input=recipe, text=True, check=True, capture_output=True)
    return name


def test_too_little_memory_is_no_silence(built: Build) -> None:
    runs = Foreground(built.engine, built.made.reference, "--memory", "20")
    said = runs.process.communicate(timeout=60)[0]
    assert runs.process.returncode == 1 and f"servelab: {built.made.reference}" in said
    assert "20 MB" in said and "--memory" in said
    assert not (ROOT / "oom").exists(), "podman's monitor notes it elsewhere"


def test_podman_keeps_it_in_and_asks_for_its_health(built: Build) -> None:
    """No network, nothing writable, nobody's user: it answers, and its own check says so."""
    if built.engine != "podman":
        pytest.skip("podman's own")
    podman = engines.program("podman")
    ulimits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"]
    sealed = ["--network", "none", "--read-only", "--read-only-tmpfs=false", "--cap-drop", "ALL"]
    number = base_image.said(*podman, "run", "--detach", *ulimits, *sealed, built.made.reference)
    try:
        look = f"""
import os, time, urllib.request
def ask(path, body=None):
    asked = urllib.request.Request("http://127.0.0.1:3000" + path, body, {{"content-type": "application/json"}})
    return urllib.request.urlopen(asked, timeout=30).read()
for _ in range(1000):
    try:
        ask("/readyz")
        break
    except OSError:
        time.sleep(0.02)
print(os.getuid(), ask("/total", {QUESTION!r}))
try:
    open("/app/x", "w")
except OSError as error:
    print(error.strerror)
"""
        found = base_image.said(*podman, "exec", number, "python3", "-c", look).splitlines()
        assert found[0] == f"10001 {ANSWER!r}" and found[1] == "Read-only file system"
        assert subprocess.run([*podman, "healthcheck", "run", number], check=False).returncode == 0
        base_image.said(*podman, "stop", "--time", "20", number)
        assert json.loads(base_image.said(*podman, "inspect", number))[0]["State"]["ExitCode"] == 0
        assert subprocess.run([*podman, "healthcheck", "run", number], check=False).returncode != 0
    finally:
        base_image.said(*podman, "rm", "--force", number)


# Of what is around them; no engine is needed.


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["STEP 5/7", "ERROR: Could not install packages: [Errno 28] No space left on device"], "disk is full"),
        (["Error: initializing source docker://python:3.11-slim: pinging container registry"], "mine is not here"),
        (["ERROR: failed to resolve source metadata for docker.io/library/x"], "mine is not here"),
        (
            ["WARNING: Retrying after connection broken by 'NewConnectionError'", "ERROR: No matching"],
            "cannot be reached",
        ),
        (["SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED]'))", "No"], "is not trusted"),
        (["ERROR: Could not find … the requirement numpy==9 (from versions: none)"], "or has no numpy==9 at all"),
        (["ERROR: No matching distribution found for numpy==9"], "has no numpy==9 for the Python of mine"),
        (["one", "two", "three", "four"], "two / three / four"),
        ([], "said nothing"),
    ],
)
def test_what_an_engine_says_becomes_a_sentence(lines: list[str], told: str) -> None:
    error = engines.meaning(lines, {"engine": "podman", "base": "mine"})
    assert told in error.sentence and error.remedy and "{" not in str(error)


def scripted(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """A podman that does as the script says, and no other engine."""
    path = folder / "podman"
    path.write_text(f"#!/bin/sh\ncase $* in *info*) exit 0;; *images*) exit 0;; esac\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin")
    monkeypatch.setattr(engines, "ENGINES", ("podman",))
    monkeypatch.setattr(pip_settings, "settings", dict)


@linux
def test_a_step_is_shown_while_it_runs(packed: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine waits here until its step was shown, and would wait for ever."""
    script = f"echo 'STEP 1/2: RUN x'; while ! [ -e {tmp_path}/shown ]; do sleep 0.02; done; echo done"
    scripted(tmp_path, monkeypatch, script)

    def say(line: str) -> None:
        if line.startswith("STEP 1/2"):
            (tmp_path / "shown").touch()

    assert images.build(packed, None, say).builder == "podman"


@linux
def test_without_its_help_plain_python_goes_on_unless_an_engine_was_named(
    packed: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted(tmp_path, monkeypatch, "echo 'Error: initializing source docker://x'; exit 125")
    plain = Made(packed.reference, "python", 1.0, 1, 1)
    monkeypatch.setattr(images, "_with_python", lambda bundle, say: plain)
    lines: list[str] = []
    assert images.build(packed, None, lines.append) is plain
    assert "going on in plain Python" in lines and any("is not here" in line for line in lines)
    for arguments in ({"builder": "podman"}, {"base": "mine:1"}):
        with pytest.raises(UserError, match="is not here"):
            images.build(packed, say=lambda line: None, **arguments)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="has no base image"):
        images.build(packed, "python", lambda line: None, base="mine:1")


@linux
@pytest.mark.parametrize(("code", "told"), [(137, "of 64 MB does not suffice"), (3, "ended with code 3")])
def test_an_end_that_nobody_asked_for_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, told: str
) -> None:
    scripted(tmp_path, monkeypatch, f"exit {code}")
    with pytest.raises(UserError, match=told):
        containers.run("sum:1", 3000, 64, "podman", lambda line: None)


@linux
def test_without_an_engine_the_address_space_is_limited() -> None:
    def ended(megabytes: int | None) -> int:
        command = [sys.executable, "-c", "bytearray(500_000_000)"]
        return subprocess.run(sandbox.limited(command, megabytes), capture_output=True, check=False).returncode

    assert ended(300) != 0 and ended(None) == 0


words = st.text(st.characters(codec="utf-8", exclude_categories=("Z", "C")), min_size=1, max_size=12)


@given(words, words, st.booleans())
def test_addresses_are_kept_as_they_are_and_folders_of_this_machine_left_out(
    tmp_path_factory: pytest.TempPathFactory, password: str, folder: str, is_url: bool
) -> None:
    import configparser

    local = f"file:///{folder}" if is_url else f"/{folder.replace(':', '-')}"
    told = {"index-url": f"https://me:{password}@index.invalid/simple", "find-links": local, "target": "/elsewhere"}
    files, left_out = pip_settings.secrets(tmp_path_factory.mktemp("secrets"), told | {"cert": str(Path(__file__))})
    parser = configparser.RawConfigParser()
    parser.read(files["pipconf"], "utf-8")
    assert dict(parser["global"]) == {"index-url": told["index-url"], "cert": pip_settings.INSIDE}
    assert left_out == [local] and files["pipcert"].read_bytes() == Path(__file__).read_bytes()
    assert sys.platform == "win32" or all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in files.values())


def test_all_that_pip_reads_counts_in_its_own_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pip.conf").write_text("[global]\nretries = 3\nproxy = http://one.invalid\n[install]\nretries = 4\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    monkeypatch.setenv("PIP_PROXY", "http://two.invalid")
    found = pip_settings.settings()
    assert (found["retries"], found["proxy"]) == ("4", "http://two.invalid")


@linux
def test_sigterm_while_an_image_is_built_leaves_no_secret(packed: Bundle, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "temporary").mkdir()
    engine = tmp_path / "bin" / "podman"
    engine.write_text("#!/bin/sh\necho 'STEP 1/2: RUN x'\nexec sleep 60\n")
    engine.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}/bin:/usr/bin:/bin", "TMPDIR": f"{tmp_path}/temporary"}
    environment |= {"PIP_TRUSTED_HOST": SECRET, "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "helpers", "image", "build", str(packed.path), "--with", "podman"]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while not process.stdout.readline().startswith("STEP"):
            assert process.poll() is None
        (secret,) = (tmp_path / "temporary").rglob("pipconf")
        assert SECRET in secret.read_text()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 128 + signal.SIGTERM
    assert not list((tmp_path / "temporary").iterdir())
