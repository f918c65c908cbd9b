"""Lesson 14, Containers: five tasks about recipes, packages, layers and what is left in them.

No check builds an image or needs an engine. Packages are made up on the spot, in a folder that Python
searches; layers are small archives; a recipe is read step by step.
"""

import contextlib
import gzip
import hashlib
import importlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

from helpers.classroom.checking import Attempt, NotYet, task
from helpers.classroom.checks.model_files import folder_of_its_own

Files = dict[str, bytes]


class _Step(NamedTuple):
    """One step of a build, as the exercise has it."""

    stage: str
    text: str
    reads: frozenset[str] = frozenset()
    source: str | None = None


@task(
    "runs_again",
    title="Say which steps of a build run again after a change",
    hints=[
        "Go through the steps once, from first to last. What do you have to remember of those before?",
        "A stage is new from its first step on that runs again. A step asks two stages: its own, and its source.",
        "Keep a set of stages in which something ran again. A step runs again if it reads something of `changed`, or "
        "if its stage or its source is in the set; then its stage goes into the set, and its position into the list.",
    ],
    learned="A change costs everything that stands behind it. So what changes most goes last.",
)
def runs_again(attempt: Attempt) -> None:
    base, lock, code = frozenset({"base"}), frozenset({"lock"}), frozenset({"code", "lock"})
    two_stages = [
        _Step("packages", "FROM", base),
        _Step("packages", "COPY lock", lock),
        _Step("packages", "RUN install"),
        _Step("image", "FROM", frozenset({"small base"})),
        _Step("image", "ENV"),
        _Step("image", "COPY --from=packages", source="packages"),
        _Step("image", "COPY code", code),
        _Step("image", "USER"),
    ]
    three = [
        _Step("wheels", "FROM", base),
        _Step("wheels", "COPY lock", lock),
        _Step("packages", "FROM", frozenset({"small base"})),
        _Step("packages", "COPY --from=wheels", source="wheels"),
        _Step("docs", "FROM", base),
        _Step("docs", "COPY text", frozenset({"text"})),
        _Step("image", "FROM packages", source="packages"),
        _Step("image", "COPY code", frozenset({"code"})),
        _Step("image", "RUN test"),
    ]
    cases: list[tuple[str, list[_Step], set[str]]] = [
        (f"{name}, and {' and '.join(sorted(changed)) or 'nothing'} changed", steps, changed)
        for name, steps in (("two stages", two_stages), ("a chain of stages", three))
        for changed in ({"code"}, {"lock"}, set[str](), {"small base"}, {"base"}, {"text"}, {"code", "text"})
    ]
    cases += [(f"a build of {len(steps)} steps", steps, changed) for steps, changed in _builds(attempt, 30)]
    for told, steps, changed in cases:
        found = attempt.call([*steps], set(changed))
        attempt.expect_type(found, (list, tuple), f"{told}: the result")
        wanted = _again(steps, changed)
        if list(found) != wanted:
            shown = "; ".join(
                f"{position} {step.stage}: {step.text}"
                + (f" reads {' and '.join(sorted(step.reads))}" if step.reads else "")
                + (f" takes from {step.source}" if step.source else "")
                for position, step in enumerate(steps)
            )
            missed, extra = [n for n in wanted if n not in found], [n for n in found if n not in wanted]
            what = f"{told}: {list(found)}".replace("'", "")
            if missed:
                step = steps[missed[0]]
                why = "it reads what changed"
                if not step.reads & changed:
                    own = any(steps[n].stage == step.stage for n in wanted if n < missed[0])
                    why = f"a step before it in {step.stage} does" if own else f"a step of {step.source} does"
                raise NotYet(f"{what}, without step {missed[0]} ({shown})", f"step {missed[0]} too: {why}")
            if extra:
                raise NotYet(f"{what}, with step {extra[0]} ({shown})", "only steps for which one of the rules holds")
            raise NotYet(what, "each position once, in order")


def _again(steps: Sequence[_Step], changed: set[str]) -> list[int]:
    """By the rules, each asked anew: slow and plain."""

    def again(position: int) -> bool:
        step = steps[position]
        before = [n for n in range(position) if steps[n].stage == step.stage]
        taken = [n for n in range(len(steps)) if steps[n].stage == step.source]
        return bool(step.reads & changed) or any(map(again, before)) or any(map(again, taken))

    return [position for position in range(len(steps)) if again(position)]


def _builds(attempt: Attempt, count: int) -> Iterator[tuple[list[_Step], set[str]]]:
    rng, names = attempt.rng, [f"file{n}" for n in range(6)]
    for _ in range(count):
        steps: list[_Step] = []
        stages = [f"s{n}" for n in range(int(rng.integers(1, 4)))]
        for number, stage in enumerate(stages):
            for step in range(int(rng.integers(1, 5))):
                kind, source, reads = rng.integers(3), None, frozenset[str]()
                if kind == 0 and number:
                    source = stages[int(rng.integers(number))]
                elif kind == 1:
                    reads = frozenset(str(name) for name in rng.choice(names, 2))
                steps.append(_Step(stage, f"step {step}", reads, source))
        yield steps, {str(name) for name in rng.choice(names, int(rng.integers(1, 3)))}


@task(
    "mend",
    title="Mend a Dockerfile: pinned, in order, two stages, no password, no root, and brackets",
    hints=[
        "Take the lines one by one, and ask of each what it leaves in the image. What is needed only to install "
        "belongs into a stage of its own.",
        "First stage: the compiler, the lock alone, and the installation into a folder, with the mount for pip's "
        "configuration. Second stage: that folder by COPY --from, the code, USER, and ENTRYPOINT with brackets.",
        "RUN --mount=type=secret,id=pipconf,target=/etc/pip.conf shows the file to this one step. pip install with "
        "--no-cache-dir and --target some folder, which PYTHONPATH names in the second stage.",
    ],
    learned="What builds and what runs are two things: the first may be messy, if only its result comes along.",
)
def mend(attempt: Attempt) -> None:
    attempt.expect_type(attempt.answer, str, "the answer")
    stages = _stages(attempt.answer)
    attempt.expect(stages, "no line that begins with FROM", "a Dockerfile")
    steps, last = [step for stage in stages for step in stage.steps], stages[-1]
    _expect_no_secret(attempt, steps)
    known = [name for stage in stages for name in (stage.name, str(stage.number))]
    for stage in stages:
        if stage.base not in known:
            tag = stage.base.partition("@")[0].rpartition("/")[2].partition(":")[2]
            pinned = "@sha256:" in stage.base or (tag and tag != "latest")
            attempt.expect(pinned, f"a stage begins with {stage.base}", "a base image with a version of its own")
    installs = [step for step in steps if step.kind == "RUN" and _installs(step.rest)]
    attempt.expect(installs, "no step installs the packages of requirements.txt", "pip install, from that file")
    line = _line_of(last, stages)
    for install in installs:
        before = [step for step in install.stage.steps if step.number < install.number]
        copies = [step for step in before if step.kind in ("COPY", "ADD")]
        attempt.expect(
            not any(step.copies_all and not step.source for step in copies),
            "the packages are installed after all of the code was copied",
            "the lock first, alone; then the packages; then the code",
        )
        bound = "type=bind" in install.rest and "requirements.txt" in install.rest
        attempt.expect(
            bound or any("requirements.txt" in step.rest for step in copies),
            "packages are installed, and their list is not there yet",
            "the lock copied before that step",
        )
        kept = not re.search(r"type=cache|--no-cache|rm -r.*cache", install.rest)
        kept &= not any(step.kind == "ENV" and "PIP_NO_CACHE_DIR" in step.rest for step in before)
        attempt.expect(
            install.stage not in line or not kept,
            "what pip downloads stays in its cache, in the image that comes out",
            "an installation that keeps no cache, or one in another stage",
        )
        if "--no-index" not in install.rest:  # of wheels that another stage has made
            attempt.expect(
                "type=secret" in install.rest,
                "the step that installs does not see pip's configuration",
                "a secret, mounted for this step",
            )
            attempt.expect(
                any(_has_compiler(stage, install) for stage in _line_of(install.stage, stages)),
                "nothing can be compiled where the packages are installed",
                "the compiler there, before",
            )
    attempt.expect(
        not any(map(_has_compiler, line)),
        "a compiler is in the image that comes out",
        "a stage of its own for what is needed to install",
    )
    own = [step for stage in line for step in stage.steps]
    if not any(install.stage in line for install in installs):
        taken = {step.source for step in own if step.source}
        names = {name for install in installs for name in (install.stage.name, str(install.stage.number))}
        attempt.expect(taken & names, "the packages do not get into the last stage", "what was installed, fetched")
    attempt.expect(
        any(step.kind in ("COPY", "ADD") and not step.source and step.copies_code for step in own),
        "the code does not get into the last stage",
        "the code, copied after the packages",
    )
    users = [step.rest.strip() for step in own if step.kind == "USER"]
    user = users[-1].partition(":")[0] if users else "root"
    attempt.expect(user not in ("root", "0", ""), "it runs as root", "a user who may change nothing")
    _expect_start(attempt, own)
    _expect_no_complaint(attempt, attempt.answer)


class _Stage:
    """What stands between one FROM and the next."""

    def __init__(self, number: int, rest: str) -> None:
        words = [word for word in rest.split() if not word.startswith("--")]
        self.number, self.base = number, (words or [""])[0]
        self.name = words[2] if len(words) > 2 and words[1].lower() == "as" else ""
        self.steps: list[_Line] = []


class _Line:
    """An instruction, with the lines that continue it."""

    def __init__(self, number: int, kind: str, rest: str, stage: _Stage) -> None:
        self.number, self.kind, self.rest, self.stage = number, kind, rest, stage
        found = re.search(r"--from=(\S+)", rest)
        self.source = found[1] if found and kind in ("COPY", "ADD") else None
        words = [word for word in re.sub(r'[\[\]",]', " ", rest).split() if not word.startswith("--")]
        self.copied = words[:-1] if kind in ("COPY", "ADD") else []

    @property
    def copies_all(self) -> bool:
        return any(name.rstrip("/*") in ("", ".") for name in self.copied)

    @property
    def copies_code(self) -> bool:
        return self.copies_all or any("run.py" in name or name.rstrip("/") in ("app", "src") for name in self.copied)


def _stages(text: str) -> list[_Stage]:
    text = re.sub(r"^\s*#.*(\n|$)", "", text, flags=re.MULTILINE)
    text = re.sub(r"\\[ \t]*\n", " ", text)
    values: dict[str, str] = {}
    stages: list[_Stage] = []
    for number, line in enumerate(line.strip() for line in text.splitlines() if line.strip()):
        kind, _, rest = line.partition(" ")
        kind = kind.upper()
        if kind == "FROM":
            stages.append(_Stage(len(stages), re.sub(r"\$\{?(\w+)\}?", lambda m: values.get(m[1], ""), rest)))
        elif stages:
            stages[-1].steps.append(_Line(number, kind, rest.strip(), stages[-1]))
        elif kind == "ARG":
            name, _, value = rest.strip().partition("=")
            values[name] = re.sub(r"\$\{?(\w+)\}?", lambda m: values.get(m[1], ""), value.strip("\"'"))
    return stages


def _line_of(stage: _Stage, stages: Sequence[_Stage]) -> list[_Stage]:
    """A stage, and those that it begins from."""
    for before in stages[: stage.number]:
        if stage.base and stage.base in (before.name, str(before.number)):
            return [*_line_of(before, stages), stage]
    return [stage]


def _has_compiler(stage: _Stage, before: _Line | None = None) -> bool:
    """Installed, or a part of the base: the whole python image has one, the slim one has none."""
    image, _, tag = stage.base.partition("@")[0].rpartition("/")[2].partition(":")
    if image == "python" and not re.search("slim|alpine", tag):
        return True
    steps = [step for step in stage.steps if before is None or step.number <= before.number]
    return any(step.kind == "RUN" and re.search(r"build-essential|\bgcc\b|\bg\+\+", step.rest) for step in steps)


def _installs(rest: str) -> bool:
    return bool(re.search(r"\b(pip|uv)\b.*\b(install|wheel|sync)\b", rest)) and "requirements.txt" in rest


def _expect_no_secret(attempt: Attempt, steps: Sequence[_Line]) -> None:
    for step in steps:
        if step.kind in ("ARG", "ENV"):
            names = re.findall(r"(\w*(?:PASSWORD|TOKEN|SECRET)\w*)", step.rest.upper())
            attempt.expect(not names, f"{step.kind} holds {(names or [''])[0]}", "no password in the image's history")
        if step.kind in ("COPY", "ADD"):
            attempt.expect("pip.conf" not in step.rest, "a step copies pip.conf into a layer", "a mount for one step")
        in_the_open = re.search(r"://[^/\s]*:[^/\s]*@", step.rest)
        attempt.expect(not in_the_open, "an address with a password in it", "no password in the image's history")


def _expect_start(attempt: Attempt, own: Sequence[_Line]) -> None:
    """The last ENTRYPOINT with the last CMD."""
    starts = {step.kind: step.rest for step in own if step.kind in ("ENTRYPOINT", "CMD")}
    attempt.expect(starts, "nothing says what is started", "an entry point")
    command: list[str] = []
    for kind in ("ENTRYPOINT", "CMD"):
        if kind in starts:
            try:
                parts = json.loads(starts[kind])
            except ValueError:
                parts = None
            attempt.expect(
                isinstance(parts, list) and all(isinstance(part, str) for part in parts or []),
                f"{kind} is given to a shell, which becomes process number 1",
                "the program and its arguments as a list, so that it is started itself",
            )
            command += parts or []
    shell = Path(command[0] if command else "").name in ("sh", "bash", "dash")
    attempt.expect(not shell or "exec " in " ".join(command), "a shell is started first", "the program itself")
    attempt.expect("run.py" in " ".join(command), f"what is started is {' '.join(command)}", "run.py, by Python")


def _expect_no_complaint(attempt: Attempt, text: str) -> None:
    """What hadolint calls an error, where it is installed: among others, what is no Dockerfile."""
    tool = shutil.which("hadolint") or shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if tool:
        ran = subprocess.run([tool, "--format", "json", "-"], input=text, capture_output=True, text=True, check=False)
        errors: list[dict[str, Any]] = [each for each in json.loads(ran.stdout or "[]") if each["level"] == "error"]
        first: dict[str, Any] = errors[0] if errors else {"code": "", "line": 0, "message": ""}
        told = f"hadolint, line {first['line']}: {first['code']} {first['message'][:120]}"
        attempt.expect(not errors, told, "a Dockerfile without errors")


@task(
    "closure",
    title="Find all packages that some packages need, and no others",
    hints=[
        "A list of what is still to be looked at, and a set of what was seen. What must the set hold, if a package can "
        "be asked for with an extra after it was seen without?",
        "Look at (name, extra) pairs, with '' for no extra: a package asked for with extras is looked at for '' and "
        "for each of them. Of its requirements those count whose marker is None or evaluates to True with that extra.",
        "Take a Requirement from the list, canonicalize its name; for extra in ('', *extras): skip what was seen, note "
        "the version, and for each text of distribution.requires or [] put Requirement(text) on the list if it counts.",
    ],
    learned="A service needs what it asks for, and what that asks for. All else in an environment is a memory.",
)
def closure(attempt: Attempt) -> None:
    world = _world(attempt)
    with folder_of_its_own() as folder, _installed(folder, world):
        x = world.spelled
        cases: list[tuple[str, list[str], set[str]]] = [
            ("one that needs nothing", ["alone"], {"alone"}),
            ("a chain", ["first"], {"first", "second", "third"}),
            ("two that share a third", ["left", "right"], {"left", "right", "third"}),
            ("two that need each other", ["hen"], {"hen", "egg"}),
            ("one for another system", ["portable"], {"portable", "third"}),
            ("an extra that nobody asked for", ["web"], {"web", "alone"}),
            ("an extra that was asked for", ["web[fast]"], {"web", "alone", "speedups", "third"}),
            ("an extra that another package asks for", ["shop"], {"shop", "web", "alone", "speedups", "third"}),
            ("first without an extra, then with it", ["web", "shop"], {"web", "shop", "alone", "speedups", "third"}),
            ("first with an extra, then without", ["shop", "web"], {"web", "shop", "alone", "speedups", "third"}),
            (
                "an extra that asks for another of the same",
                ["web[all]"],
                {"web", "alone", "speedups", "third", "hen", "egg"},
            ),
            ("a name that is written differently", ["writer"], {"writer", "big-package"}),
            ("nothing", [], set()),
        ]
        for told, names, wanted in cases:
            asked = [re.sub(r"^[\w-]+", lambda m: x[m[0]], name) for name in names]
            found = attempt.call(asked)
            attempt.expect_type(found, dict, f"{told}: the result")
            expected = {x[name]: world.versions[name] for name in wanted}
            given = ", ".join(map(str, found))
            missing, more = sorted(expected.keys() - found.keys()), sorted(map(str, found.keys() - expected.keys()))
            requires = "; ".join(world.told(name) for name in sorted(wanted)[:5])
            attempt.expect(not missing, f"{told}: {given or 'nothing'}, for {asked} ({requires})", f"also {missing}")
            attempt.expect(
                not more, f"{told}: {given}, for {asked} ({requires})", f"nothing more; {more} is not needed"
            )
            for name, version in expected.items():
                attempt.expect(
                    found[name] == version, f"{told}: {name} at {str(found[name])[:40]!r}", f"the installed {version}"
                )
    _expect_it_answers(attempt)


class _World(NamedTuple):
    """Packages that nobody has installed: versions, and what each asks for."""

    spelled: dict[str, str]
    versions: dict[str, str]
    requires: dict[str, list[str]]

    def told(self, name: str) -> str:
        return f"{self.spelled[name]} asks for {', '.join(self.requires[name]) or 'nothing'}"


def _world(attempt: Attempt) -> _World:
    tag = f"made{int(attempt.rng.integers(1000, 9999))}"
    names = [
        "alone",
        "first",
        "second",
        "third",
        "left",
        "right",
        "hen",
        "egg",
        "portable",
        "web",
        "speedups",
        "shop",
        "writer",
        "big-package",
    ]
    spelled = {name: f"{tag}-{name}" for name in names}
    x = spelled
    asks = {
        "first": [x["second"]],
        "second": [f"{x['third']} >=0.1"],
        "left": [x["third"]],
        "right": [f"{x['third']}; python_version >= '3'"],
        "hen": [x["egg"]],
        "egg": [x["hen"]],
        "portable": [f"{x['speedups']}; sys_platform == 'amiga'", f"{x['third']}; sys_platform != 'amiga'"],
        "web": [
            x["alone"],
            f"{x['speedups']}; extra == 'fast'",
            f"{x['first']}; extra == 'docs'",
            f"{x['web']}[fast]; extra == 'all'",
            f"{x['hen']}; extra == 'all'",
        ],
        "speedups": [x["third"]],
        "shop": [f"{x['web']}[fast] >=0.1"],
        "writer": [x["big-package"].replace("big-package", "Big_Package")],
    }
    versions = {name: f"{attempt.rng.integers(1, 9)}.{attempt.rng.integers(0, 30)}" for name in names}
    return _World(spelled, versions, {name: asks.get(name, []) for name in names})


@contextlib.contextmanager
def _installed(folder: Path, world: _World) -> Iterator[None]:
    """The made-up packages, as if they were installed."""
    for name, spelled in world.spelled.items():
        version = world.versions[name]
        about = folder / f"{spelled.replace('-', '_')}-{version}.dist-info"
        about.mkdir()
        lines = ["Metadata-Version: 2.1", f"Name: {spelled}", f"Version: {version}"]
        lines += ["Provides-Extra: fast", "Provides-Extra: docs", "Provides-Extra: all"] if name == "web" else []
        lines += [f"Requires-Dist: {text}" for text in world.requires[name]]
        (about / "METADATA").write_text("\n".join(lines) + "\n", "utf-8")
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        importlib.invalidate_caches()


TRIAL = """
import sys
sys.path.insert(0, sys.argv[1])
import msgspec, numpy, onnxruntime, uvicorn
print("answers with", onnxruntime.__version__, [int(n) for n in numpy.ones(2)], uvicorn.Config, msgspec.json)
"""


def _expect_it_answers(attempt: Attempt) -> None:
    """In a folder with the files of the closure, and nothing else, what serves can be imported."""
    from importlib.metadata import distribution

    found = attempt.call(["msgspec", "numpy", "onnxruntime", "uvicorn"])
    attempt.expect_type(found, dict, "the closure of what serves an ONNX model")
    torch = [name for name in ("torch", "tensorflow-cpu", "tensorflow", "jupyterlab") if name in found]
    attempt.expect(not torch, f"{', '.join(torch)} is in the closure of ONNX Runtime and a web server", "no such thing")
    with folder_of_its_own() as folder:
        for name in found:
            for file in distribution(str(name)).files or []:
                source = Path(str(file.locate()))
                if ".." not in file.parts and "__pycache__" not in file.parts and source.is_file():
                    target = folder / file
                    target.parent.mkdir(parents=True, exist_ok=True)
                    try:
                        target.symlink_to(source)
                    except OSError:  # Windows wants a privilege for that
                        shutil.copyfile(source, target)
        command = [sys.executable, "-S", "-B", "-c", TRIAL, str(folder)]
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        ran = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=folder)
        last = (ran.stderr.strip().splitlines() or ["?"])[-1][:200]
        attempt.expect(ran.returncode == 0, f"with these packages alone: {last}", "all that ONNX Runtime asks for")


@task(
    "pack",
    title="Write a layer whose digest depends on the files' contents and names alone",
    hints=[
        "What does tarfile's `add` write down about a file besides its content? And what does gzip write at the "
        "beginning of its own? `tarfile.TarInfo(name)` knows nothing of this machine.",
        "Collect the files by their relative name, go through the sorted names, and add for each a TarInfo of that "
        "name and size with addfile(about, io.BytesIO(content)). Make the tar in memory.",
        "gzip.compress(raw, mtime=0) writes neither a time nor a name. Its sha256, with hexdigest(), is the digest; "
        "write the same bytes to the target.",
    ],
    learned="Who leaves out time, owner and order gets the same digest tomorrow, and everyone can check it.",
)
def pack(attempt: Attempt) -> None:
    rng = attempt.rng
    files = {f"{place}{n}.txt": rng.bytes(int(rng.integers(0, 3000))) for n, place in enumerate(PLACES)}
    digests = []
    with folder_of_its_own() as folder:
        for turn, (names, moment) in enumerate(((list(files), 1.0e9), (list(reversed(files)), 1.7e9))):
            place = folder / f"machine-{turn}" / "files"
            _lay(place, {name: files[name] for name in names}, moment, mode=(0o644, 0o755)[turn])
            target = folder / f"layer-{turn}-of-that-machine.tar.gz"
            with mock.patch.object(time, "time", lambda moment=moment: moment), _listing(backwards=bool(turn)):
                given = attempt.call(place, target)
            attempt.expect(target.is_file(), "no file at the target", "the layer there")
            _expect_layer(attempt, target, files)
            digest = f"sha256:{hashlib.sha256(target.read_bytes()).hexdigest()}"
            told = f"{str(given)[:24]!r} as the digest"
            attempt.expect(given == digest, told, f"that of the file at the target, {digest[:13]}… and so on")
            left = {path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()}
            attempt.expect(left == files.keys(), "files in the folder have come or gone", "the folder as it was")
            digests.append((digest, target.read_bytes()))
        (_, one), (_, other) = digests
        if one != other:
            where = "the packed bytes differ, and the archive in them is the same"
            with contextlib.suppress(Exception):
                if gzip.decompress(one) != gzip.decompress(other):
                    where = "the archives differ"
            raise NotYet(f"the same files, packed at another time and place: {where}", "the same bytes each time")


PLACES = ("b", "a", "deep/er/b", "deep/a", "Z", "deep/er/a", "z-", "z/")


def _lay(folder: Path, files: Mapping[str, bytes], moment: float, mode: int) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(mode)
        os.utime(path, (moment, moment))
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            os.chown(path, 1234, 1234)  # root's files would look as if they were nobody's


@contextlib.contextmanager
def _listing(backwards: bool) -> Iterator[None]:
    """Folders, listed in the order of another disk."""
    scandir, listdir = os.scandir, os.listdir

    class Listed:
        def __init__(self, path: Any) -> None:
            with scandir(path) as found:
                self.entries = iter(sorted(found, key=lambda each: each.name, reverse=backwards))

        def __enter__(self) -> "Listed":
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def __iter__(self) -> Iterator[Any]:
            return self.entries

        def __next__(self) -> Any:
            return next(self.entries)

        def close(self) -> None:
            pass

    def listed(path: Any = ".") -> list[Any]:
        return sorted(listdir(path), reverse=backwards)

    with mock.patch.object(os, "scandir", Listed), mock.patch.object(os, "listdir", listed):
        yield


def _expect_layer(attempt: Attempt, target: Path, files: Mapping[str, bytes]) -> None:
    """What tarfile finds in it."""
    attempt.expect(target.read_bytes()[:2] == b"\x1f\x8b", "the file at the target is not packed by gzip", "a .tar.gz")
    try:
        with tarfile.open(target, "r:gz") as archive:
            members = archive.getmembers()
            found = {m.name: archive.extractfile(m).read() for m in members if m.isfile()}  # type: ignore[union-attr]
    except (tarfile.TarError, OSError, EOFError) as error:
        raise NotYet(f"tarfile cannot open it: {error}", "a .tar.gz") from None
    names = [member.name for member in members]
    others = [member.name for member in members if not member.isfile()]
    attempt.expect(not others, f"an entry that is no file: {(others or [''])[0]}", "files only")
    attempt.expect(set(names) == files.keys(), f"the names {sorted(names)}", f"relative to the folder: {sorted(files)}")
    attempt.expect(names == sorted(names), f"the order {names}", "that of the names")
    for member in members:
        attempt.expect(found[member.name] == files[member.name], f"{member.name} holds other bytes", "the file's own")
        attempt.expect(member.mtime == 0, f"{member.name} has the time {member.mtime:.0f}", "0, for all")
        owner = f"{member.uid}:{member.gid} {member.uname}:{member.gname}"
        attempt.expect(owner == "0:0 :", f"{member.name} belongs to {owner}", "the owner and group 0, without names")
        attempt.expect(member.mode == 0o644, f"{member.name} has the mode {member.mode:o}", "644")


@task(
    "still_there",
    title="Find the files that a later layer deleted and that can still be read",
    hints=[
        "Keep two dictionaries while you go up: what is seen so far, and what was hidden. A layer first hides some of "
        "what is seen, and then adds its own.",
        "A mark's place is what stands before the last /, its word what stands behind. `.wh.NAME` hides place/NAME "
        "itself and everything that begins with place/NAME/. `.wh..wh..opq` hides everything that begins with place/.",
        "For each layer: take the marks out of its files; move what they hide from `seen` to `hidden`; add its own to "
        "`seen`, and take from `hidden` what is back. At the end return `hidden`.",
    ],
    learned="A deletion is one more layer. What must not be seen must never be copied in.",
)
def still_there(attempt: Attempt) -> None:
    word = attempt.rng.bytes(6).hex()
    secret, other = f"password = {word}".encode(), attempt.rng.bytes(20)
    app = {"app/run.py": b"serve()", "app/secret.txt": secret}
    tree = {"root/.cache/pip/a.whl": other, "root/.cache/pip/deep/b.whl": secret, "root/.cache-old/c": b"c"}
    cases: list[tuple[str, list[Files], Files]] = [
        ("nothing was deleted", [app, {"app/more.py": b"x"}], {}),
        ("one file", [app, {"app/.wh.secret.txt": b""}], {"app/secret.txt": secret}),
        ("in the root", [{"pip.conf": secret, "run.py": b""}, {".wh.pip.conf": b""}], {"pip.conf": secret}),
        ("a whole folder", [tree, {"root/.wh..cache": b""}], {n: c for n, c in tree.items() if "/.cache/" in n}),
        ("all in a folder", [tree, {"root/.cache/.wh..wh..opq": b"", "root/.cache/new": b"n"}],
         {n: c for n, c in tree.items() if "/.cache/" in n}),
        ("replaced and not deleted", [app, {"app/secret.txt": b"nothing"}], {}),
        ("replaced, then deleted", [app, {"app/secret.txt": other}, {"app/.wh.secret.txt": b""}],
         {"app/secret.txt": other}),
        ("deleted, and put back", [app, {"app/.wh.secret.txt": b""}, {"app/secret.txt": b"dummy"}], {}),
        ("deleted and put in by the same layer", [app, {"app/.wh.secret.txt": b"", "app/secret.txt": b"new"}], {}),
        ("put back and deleted again",
         [app, {"app/.wh.secret.txt": b""}, {"app/secret.txt": other}, {"app/.wh.secret.txt": b""}],
         {"app/secret.txt": other}),
        ("deleted before there was one", [{"app/.wh.secret.txt": b""}, app], {}),
        ("three layers up", [app, tree, {"x": b"y"}, {"app/.wh.secret.txt": b"", "root/.wh..cache-old": b""}],
         {"app/secret.txt": secret, "root/.cache-old/c": b"c"}),
        ("a name that begins with another", [{"a/b": other, "a/bc": b"1", "ba/b": b"2"}, {"a/.wh.b": b""}],
         {"a/b": other}),
    ]  # fmt: skip
    with folder_of_its_own() as folder:
        for number, (told, layers, wanted) in enumerate(cases):
            paths = [_layer(folder / f"{number}-{n}.tar.gz", files) for n, files in enumerate(layers)]
            given = attempt.call(paths)
            attempt.expect_type(given, dict, f"{told}: the result")
            shown = " | ".join(", ".join(files) for files in layers)
            missing, more = sorted(wanted.keys() - given.keys()), sorted(map(str, given.keys() - wanted.keys()))
            attempt.expect(not missing, f"{told}: {sorted(map(str, given))} (layers: {shown})", f"also {missing}")
            attempt.expect(not more, f"{told}: {sorted(map(str, given))} (layers: {shown})", f"without {more}")
            for name, content in wanted.items():
                attempt.expect(
                    given[name] == content,
                    f"{told}: {name} with {str(given[name])[:40]} (layers: {shown})",
                    "the bytes that the last layer with that file holds",
                )


def _layer(path: Path, files: Files) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        folders = {parent for name in files for parent in _parents(name)}
        for name in sorted(folders):
            about = tarfile.TarInfo(name)
            about.type = tarfile.DIRTYPE
            archive.addfile(about)
        for name, content in files.items():
            about = tarfile.TarInfo(name)
            about.size = len(content)
            archive.addfile(about, io.BytesIO(content))
    return path


def _parents(name: str) -> list[str]:
    parts = name.split("/")
    return ["/".join(parts[:end]) for end in range(1, len(parts))]
