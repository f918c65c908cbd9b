"""What can go wrong with a bundle while it is written, when it starts, while it runs: each is told in a sentence."""

import contextlib
import errno
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from helpers.bench.server_process import free_port
from helpers.deploy import Bundle, entry, needs
from helpers.deploy.delivery import package
from helpers.deploy.unfinished import unfinished
from helpers.errors import UserError
from helpers.places import ROOT
from helpers.store import Store
from tests.engine.served import twice_and_sum

SERVICE = """
import os
import signal
import time
from pathlib import Path

import numpy as np

from helpers import store
from helpers.engine import Tensor, api, service

@service
class Faulty:
    def __init__(self):
        self.model = store.load("net:1")
        if "GO" in os.environ:
            print("at work", flush=True)
            while not Path(os.environ["GO"]).exists():
                time.sleep(0.01)

    @api
    def total(
        self, left: Tensor["float32", "batch", 3], right: Tensor["float32", "batch", 3]
    ) -> Tensor["float32", "batch"]:
        return self.model(left, right)[1]

    @api
    def eat(self, megabytes: int) -> int:
        return len(bytes(megabytes << 20))

    @api
    def infer(self, megabytes: int) -> int:
        rows = np.zeros((megabytes << 20 >> 4, 3), np.float32)
        return len(self.model(rows, rows)[1])

    @api
    def die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)
"""
QUESTION = {"left": [[1, 2, 3]], "right": [[1, 1, 1]]}
ANSWER = [15.0]
PLAIN = {"PATH": "/usr/bin:/bin"}  # no HOME, nothing of the checkout
NAMESPACE = ["unshare", "--user", "--map-root-user"]


def isolated(*more: str) -> list[str]:
    """The command before a command that runs it in namespaces of its own; skips where the kernel gives none."""
    command = [*NAMESPACE, *more]
    try:
        works = subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        works = False
    if not works:
        pytest.skip("this kernel gives no namespaces to this user")
    return command


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A service, a store with its model, and its bundle."""
    folder = tmp_path_factory.mktemp("faults")
    (folder / "code").mkdir()
    (folder / "code" / "faulty.py").write_text(SERVICE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SERVELAB_HOME", str(folder / "lab"))
        Store().save("net", twice_and_sum(folder / "net.onnx", 2.0))
        assert bundled(folder, folder / "bundles").returncode == 0
        yield folder


def bundled(place: Path, into: Path, before: Sequence[str] = (), **more: str) -> "subprocess.CompletedProcess[str]":
    """``bundle`` on a command line."""
    command = [*before, sys.executable, "-m", "helpers", "bundle", "faulty:Faulty", "--into", str(into)]
    return told(command, {**os.environ, "PYTHONPATH": str(ROOT), **more}, place / "code")


def told(command: Sequence[str], known: Mapping[str, str], cwd: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, env=known, cwd=cwd, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture
def made(place: Path, tmp_path: Path) -> Path:
    """A copy of the bundle."""
    (found,) = (place / "bundles").iterdir()
    return Path(shutil.copytree(found, tmp_path / "bundle"))


def refused(ran: "subprocess.CompletedProcess[str]", code: int, sentence: str) -> None:
    assert ran.returncode == code and sentence in ran.stderr, ran.stderr
    assert ran.stderr.startswith("servelab: ") and "Remedy: " in ran.stderr and "Traceback" not in ran.stderr


def start(made: Path, *options: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """A start that is refused."""
    return told([sys.executable, *options, str(made / "run.py")], PLAIN | {"PORT": "0"} | variables, made.parent)


class Running:
    """A bundle that was started."""

    def __init__(self, process: "subprocess.Popen[str]", port: int) -> None:
        self.process, self.port = process, port

    def says(self, what: str) -> str:
        """Lines until one has this in it."""
        lines = ""
        for line in self.process.stdout or ():
            lines += line
            if what in line:
                return lines
        raise AssertionError(lines)

    def ask(self, path: str, question: Any) -> Any:
        url, headers = f"http://127.0.0.1:{self.port}/{path}", {"content-type": "application/json"}
        with urllib.request.urlopen(urllib.request.Request(url, json.dumps(question).encode(), headers)) as answer:
            return json.load(answer)

    def ended(self) -> tuple[int, str]:
        """Told to end: its code, and its last words."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60), (self.process.stdout.read() if self.process.stdout else "")


@contextlib.contextmanager
def running(made: Path, before: Sequence[str] = (), **variables: str) -> Iterator[Running]:
    port = free_port()
    process = subprocess.Popen(
        [*before, sys.executable, str(made / "run.py")],
        env=PLAIN | {"PORT": str(port)} | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield Running(process, port)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()  # type: ignore[union-attr]


# While it is written.

KILLED = """
import os, pathlib, runpy, shutil, signal, sys
left = int(os.environ["LEFT"])

def dying(original):
    def counted(*given, **named):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*given, **named)
    return counted

for name in ("write_bytes", "write_text", "replace"):
    setattr(pathlib.Path, name, dying(getattr(pathlib.Path, name)))
shutil.copyfile = dying(shutil.copyfile)
sys.argv = ["helpers", *sys.argv[1:]]
runpy.run_module("helpers", run_name="__main__")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_who_is_killed_while_bundling_leaves_nothing_for_long(place: Path, tmp_path: Path) -> None:
    into = tmp_path / "bundles"
    command = [sys.executable, "-c", KILLED, "bundle", "faulty:Faulty", "--into", str(into)]
    known = {**os.environ, "PYTHONPATH": str(ROOT)}
    steps = len(list((place / "bundles").glob("*/kit/helpers/**/*.py")))
    for left in (1, steps // 2, steps, steps + 8):
        ran = told(command, known | {"LEFT": str(left)}, place / "code")
        assert ran.returncode == -signal.SIGKILL, ran.stderr
        (half,) = into.iterdir()
        assert half.name.startswith(".bundle-"), "the one before was removed, and none is to be seen"
    again = bundled(place, into)
    assert again.returncode == 0, again.stderr
    (whole,), (wanted,) = into.iterdir(), (place / "bundles").iterdir()
    assert whole.name == wanted.name and not Bundle.read(whole).changed()
    assert (whole / "bundle.json").read_bytes() == (wanted / "bundle.json").read_bytes()


BOTH = """
import os, pathlib, runpy, sys, time
replace, meet = pathlib.Path.replace, pathlib.Path(os.environ["MEET"])

def together(self, target):
    if self.name == "bundle":  # it is written, and nobody has put one there
        (meet / str(os.getpid())).touch()
        while len(list(meet.iterdir())) < 2:
            time.sleep(0.01)
    return replace(self, target)

pathlib.Path.replace = together
sys.argv = ["helpers", *sys.argv[1:]]
runpy.run_module("helpers", run_name="__main__")
"""


def test_two_may_bundle_the_same_at_once(place: Path, tmp_path: Path) -> None:
    into, meet = tmp_path / "bundles", tmp_path / "meet"
    meet.mkdir()
    command = [sys.executable, "-c", BOTH, "bundle", "faulty:Faulty", "--into", str(into)]
    known = {**os.environ, "PYTHONPATH": str(ROOT), "MEET": str(meet)}
    both = [
        subprocess.Popen(command, env=known, cwd=place / "code", stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
        for _ in range(2)
    ]
    said = [each.communicate(timeout=120)[1].decode() for each in both]
    assert [each.returncode for each in both] == [0, 0], said
    (whole,) = into.iterdir()
    assert not Bundle.read(whole).changed()


def test_a_bundle_that_was_changed_is_mended_by_bundling_again(place: Path, tmp_path: Path) -> None:
    into = tmp_path / "bundles"
    shutil.copytree(place / "bundles", into)
    (whole,) = into.iterdir()
    (whole / "app" / "faulty.py").write_text("x = 1\n")
    (whole / "app" / "more.py").touch()
    assert Bundle.read(whole).changed() == ["app/faulty.py", "app/more.py"]
    assert bundled(place, into).returncode == 0
    assert list(into.iterdir()) == [whole] and not Bundle.read(whole).changed()


MOUNTED = 'mount -t tmpfs -o "$0" none "$1" && shift && "$@"; code=$?; ls -A "$OLD" >&2; exit $code'


@pytest.mark.parametrize(("options", "sentence"), [("size=200k", "No space left"), ("ro", "Read-only file system")])
def test_a_disk_that_takes_nothing_is_told_while_bundling(
    place: Path, tmp_path: Path, options: str, sentence: str
) -> None:
    into = tmp_path / "bundles"
    into.mkdir()
    before = [*isolated("--mount"), "sh", "-c", MOUNTED, options, str(into)]
    refused(bundled(place, into, before, OLD=str(into)), 1, f"{into} cannot be written to: {sentence}")
    ran = bundled(place, into, before, OLD=str(into))
    assert ran.stderr.strip().splitlines()[-1].startswith("  Remedy: "), "nothing is left in it"


def test_a_target_that_is_no_folder_is_told(place: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refused(bundled(place, tmp_path / "file" / "bundles"), 1, "cannot be written to: Not a directory")


def test_bundling_and_packaging_need_no_network(place: Path, tmp_path: Path) -> None:
    nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:1/", "PIP_CONFIG_FILE": os.devnull}
    ran = bundled(place, tmp_path / "bundles", isolated("--net"), **nowhere)
    assert ran.returncode == 0, ran.stderr
    (whole,) = (tmp_path / "bundles").iterdir()
    assert [whole.name] == [each.name for each in (place / "bundles").iterdir()]
    command = [sys.executable, "-m", "helpers", "package", str(whole), "--into", str(tmp_path / "dist")]
    ran = told([*isolated("--net"), *command], {**os.environ, "PYTHONPATH": str(ROOT), **nowhere}, place)
    assert ran.returncode == 0 and list((tmp_path / "dist").glob("*.whl")), ran.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="Windows locks no folders")
def test_only_folders_of_the_dead_are_removed(tmp_path: Path) -> None:
    (tmp_path / ".x-dead" / "deep").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    with unfinished(tmp_path, ".x-") as one:
        (one / "file").touch()
        with unfinished(tmp_path, ".x-") as two:
            assert {each.name for each in tmp_path.iterdir()} == {one.name, two.name, "other"}
            assert (one / "file").exists()
    assert [each.name for each in tmp_path.iterdir()] == ["other"]


def test_a_full_disk_while_packaging_leaves_nothing(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(UserError, match=r"packages cannot be written to: No space left"):
        package(Bundle.read(made), tmp_path / "packages", say=lambda line: None)
    assert not list((tmp_path / "packages").iterdir())


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import os\nos.kill(os.getpid(), 9)", "killed by signal 9: did memory run out"),
        ("import os\nos._exit(3)", "ended with code 3"),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_service_that_dies_while_it_is_looked_at_is_told(tmp_path: Path, code: str, told: str) -> None:
    (tmp_path / "dying.py").write_text(code)
    with pytest.raises(UserError, match=told):
        needs.find("dying:Dying", tmp_path)


# When it starts.


def test_a_damaged_model_or_none_is_refused(made: Path) -> None:
    model = made / "lab" / "store" / "net" / "1" / "model.onnx"
    raw = model.read_bytes()
    model.write_bytes(raw + b"\n")
    refused(start(made), 1, "This bundle was changed or is not whole: lab/store/net/1/model.onnx")
    model.unlink()
    refused(start(made), 1, "This bundle was changed or is not whole: lab/store/net/1/model.onnx")
    shutil.rmtree(made / "lab")
    refused(start(made), 1, "lab/store/net/1/model.json, lab/store/net/1/model.onnx")


@pytest.mark.parametrize("content", [None, b"{", b"\xff\xfe{}", b"[]", b"{}", b'{"target": 1, "files": 2}'])
def test_a_damaged_list_of_contents_is_refused(made: Path, content: bytes | None) -> None:
    (made / "bundle.json").unlink()
    if content is not None:
        (made / "bundle.json").write_bytes(content)
    refused(start(made), 1, "bundle.json is missing or damaged")


@pytest.mark.parametrize("name", ["app/numpy.py", "kit/helpers/more.py", "lab/store/net/9/model.onnx", "app/link"])
def test_a_file_that_was_not_packed_is_refused_before_anything_imports_it(made: Path, name: str) -> None:
    path = made / name
    path.parent.mkdir(exist_ok=True)
    if name.endswith("link"):
        path.symlink_to(made.parent)
    else:
        path.write_text("print('imported')")
    ran = start(made)
    refused(ran, 1, f"There are files that were not packed: {name}")
    assert "imported" not in ran.stdout


def test_what_others_leave_beside_it_does_no_harm(made: Path) -> None:
    """Bytecode, a desktop's notes; and modules at the bundle's root, where Python would look first."""
    (made / "app" / "__pycache__").mkdir()
    (made / "app" / "__pycache__" / "faulty.other.pyc").touch()
    (made / "lab" / ".DS_Store").touch()
    for name in ("json", "numpy", "urllib"):
        (made / f"{name}.py").write_text("raise SystemExit('imported')")
    with running(made) as server:
        server.says("Serving Faulty")
        assert server.ask("total", QUESTION) == ANSWER
        assert server.ended()[0] == 0


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"PORT": "http"}, "PORT is 'http'"),
        ({"PORT": "-1"}, "PORT is '-1'"),
        ({"PORT": "65536"}, "PORT is '65536'"),
        ({"WORKERS": "-1"}, "WORKERS is '-1'"),
        ({"WORKERS": "two"}, "WORKERS is 'two'"),
        ({"WORKERS": "65"}, "WORKERS is '65'"),
        ({"HOST": "no address"}, "HOST is 'no address', which is no address"),
    ],
    ids=str,
)
def test_a_setting_that_makes_no_sense_is_told(made: Path, variables: dict[str, str], sentence: str) -> None:
    refused(start(made, **variables), 2, sentence)


def test_an_option_is_told_to_be_none(made: Path) -> None:
    ran = told([sys.executable, str(made / "run.py"), "--port"], PLAIN, made)
    refused(ran, 2, "--port is no option")


def test_a_port_in_use_is_told(made: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ran = start(made, PORT=str(taken.getsockname()[1]))
    refused(ran, 1, "cannot be used: Address already in use")
    assert "PORT=0" in ran.stderr


def test_other_packages_than_those_of_the_lock_are_refused(made: Path, tmp_path: Path) -> None:
    (tmp_path / "site" / "numpy-1.0.dist-info").mkdir(parents=True)
    ran = start(made, PYTHONPATH=str(tmp_path / "site"))
    refused(ran, 1, "This Python has not the packages of the bundle: numpy 1.0 in place of")
    install = f"-m pip install --requirement {made / 'requirements.txt'}"
    assert install in ran.stderr.replace('"', ""), "the command can be run from any folder"
    (tmp_path / "site" / "numpy-1.0.dist-info").rmdir()
    packages = json.loads((made / "bundle.json").read_bytes())["packages"]
    for name, version in packages.items():
        (tmp_path / "site" / f"{name.replace('-', '_')}-{version}.dist-info").mkdir()
    (tmp_path / "site" / f"onnxruntime-{packages['onnxruntime']}.dist-info").rmdir()
    refused(start(made, "-S", PYTHONPATH=str(tmp_path / "site")), 1, "the bundle: onnxruntime is missing")
    (tmp_path / "site" / f"onnxruntime_gpu-{packages['onnxruntime']}.dist-info").mkdir()
    refused(start(made, "-S", PYTHONPATH=str(tmp_path / "site")), 1, "A package of the bundle cannot be imported: No")


def test_where_no_package_says_what_it_is_imports_tell(made: Path) -> None:
    ran = start(made, "-S")
    refused(ran, 1, "A package of the bundle cannot be imported: No module named")


def test_another_python_is_told_and_an_old_one_refused(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    about = json.loads((made / "bundle.json").read_bytes()) | {"python": "3.99"}
    (made / "bundle.json").write_text(json.dumps(about))
    with running(made) as server:
        assert "it was packed with 3.99" in server.says("Serving Faulty")
        assert server.ask("total", QUESTION) == ANSWER
    monkeypatch.setattr(entry, "OLDEST", (3, 99))
    with pytest.raises(entry.Refused, match="the bundle needs 3"):
        entry.prepared()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM")
def test_told_to_stop_while_its_packages_are_imported_it_ends(made: Path, tmp_path: Path) -> None:
    """As the first process of a container, which no signal ends that it does not handle."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "onnxruntime.py").write_text("import time\nprint('importing', flush=True)\ntime.sleep(99)")
    before = isolated("--pid", "--fork")
    with running(made, before, PYTHONPATH=str(tmp_path / "site")) as server:
        server.says("importing")
        os.killpg(server.process.pid, signal.SIGTERM)
        server.process.wait(60)
        assert "Stopped before it answered." in server.process.stdout.read()  # type: ignore[union-attr]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM")
def test_told_to_stop_while_the_service_starts_it_ends_well(made: Path, tmp_path: Path) -> None:
    with running(made, GO=str(tmp_path / "go")) as server:
        server.says("at work")
        server.process.send_signal(signal.SIGTERM)
        (tmp_path / "go").touch()
        assert server.process.wait(60) == 0
        assert "what was accepted has been answered" in server.process.stdout.read()  # type: ignore[union-attr]


# While it runs.

READ_ONLY = 'mount -o remount,bind,ro / && mount -o remount,bind,ro /mnt && %s && exec "$0" "$@"'
HERE = shlex.quote(str(ROOT))


def covered(folder: str, writable: bool) -> str:
    """Put an empty folder over one; what runs the tests is seen through it, if it lies there."""
    steps = [f"mount -t tmpfs none {folder}"]
    if ROOT.is_relative_to(folder):
        steps += [f"mkdir -p {HERE}", f"mount --bind /srv {HERE}", f"mount -o remount,bind,ro {HERE}"]
    return " && ".join([*steps, *([] if writable else [f"mount -o remount,ro {folder}"])])


CLOSED = " && ".join(covered(each, False) for each in ("/tmp", "/var/tmp"))
TEMPORARY, SHARED = covered("/tmp", True), covered("/dev/shm", False)


def read_only(made: Path, and_then: str) -> list[str]:
    """Before a command: nothing can be written, but what is mounted then."""
    mounts = f"mount --bind {shlex.quote(str(made))} /mnt && mount --bind {HERE} /srv"
    command = [*isolated("--mount"), "sh", "-c", f"{mounts} && cd /mnt && {READ_ONLY % and_then}"]
    if subprocess.run([*command, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this kernel lets nobody make a file system read-only")
    return command


@pytest.mark.parametrize(
    ("workers", "and_then", "sentence"),
    [
        ("1", CLOSED, ""),
        ("2", TEMPORARY, ""),
        ("2", CLOSED, "Several workers need a folder that can be written to"),
        ("2", f"{TEMPORARY} && {SHARED}", "The system does not let it serve: [Errno 30] Read-only file system"),
    ],
    ids=["one worker, nothing else", "/tmp", "no /tmp", "no shared memory"],
)
def test_on_a_read_only_file_system_it_serves_or_says_what_it_lacks(
    made: Path, workers: str, and_then: str, sentence: str
) -> None:
    with running(Path("/mnt"), read_only(made, and_then), WORKERS=workers) as server:
        if not sentence:
            server.says("Serving Faulty")
            assert server.ask("total", QUESTION) == ANSWER
            return
        assert server.process.wait(60) == 1
        said = server.process.stdout.read()  # type: ignore[union-attr]
        assert sentence in said and "Remedy: " in said and "Traceback" not in said


def limited(megabytes: int) -> list[str]:
    if sys.platform != "linux":
        pytest.skip("only Linux holds a process to so much address space")
    return ["sh", "-c", f'ulimit -v {megabytes << 10} && exec "$0" "$@"']


def test_too_little_memory_to_start_is_told(made: Path) -> None:
    ran = told([*limited(60), sys.executable, str(made / "run.py")], PLAIN, made)
    refused(ran, 1, "There is not enough memory to start")


def test_a_request_that_memory_does_not_suffice_for_is_turned_away(made: Path) -> None:
    """Python's own memory, and ONNX Runtime's: the caller may try again, and the next one is answered."""
    with running(made, limited(1000)) as server:
        server.says("Serving Faulty")
        for path, megabytes in (("eat", 2000), ("infer", 330)):
            with pytest.raises(urllib.error.HTTPError) as turned_away:
                server.ask(path, {"megabytes": megabytes})
            with turned_away.value as answer:
                assert answer.code == 503 and answer.headers["retry-after"] == "1", server.ended()
                assert json.load(answer)["error"] == "there is not enough memory for this now"
            assert server.ask("total", QUESTION) == ANSWER
        code, said = server.ended()
        assert code == 0 and said.count("there was not enough memory for a request") == 2 and "Traceback" not in said


def test_a_worker_that_the_system_kills_is_replaced(made: Path) -> None:
    """As it does where memory runs out: that request is lost, and told in the log."""
    with running(made, WORKERS="2") as server:
        server.says("Serving Faulty")
        with pytest.raises((urllib.error.URLError, ConnectionError)):
            server.ask("die", {})
        assert server.ask("total", QUESTION) == ANSWER
        line = json.loads(server.says("a worker died").splitlines()[-1])
        assert line["exit_code"] == -signal.SIGKILL
        assert server.ended()[0] == 0
