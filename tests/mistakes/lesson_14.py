"""What goes wrong in lesson 14."""

import gzip
import hashlib
import importlib.metadata
import io
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

# runs_again


def forgets_the_steps_behind(steps: Sequence[Any], changed: set[str]) -> list[int]:
    return [n for n, step in enumerate(steps) if step.reads & changed]


def forgets_the_sources(steps: Sequence[Any], changed: set[str]) -> list[int]:
    new: set[str] = set()
    found = []
    for n, step in enumerate(steps):
        if step.reads & changed or step.stage in new:
            found.append(n)
            new.add(step.stage)
    return found


def runs_all_behind_in_the_file(steps: Sequence[Any], changed: set[str]) -> list[int]:
    hit = [n for n, step in enumerate(steps) if step.reads & changed]
    return [*range(hit[0], len(steps))] if hit else []


def runs_the_whole_stage(steps: Sequence[Any], changed: set[str]) -> list[int]:
    new = {step.stage for step in steps if step.reads & changed}
    for step in steps:
        if step.source in new:
            new.add(step.stage)
    return [n for n, step in enumerate(steps) if step.stage in new]


def asks_only_what_the_source_reads(steps: Sequence[Any], changed: set[str]) -> list[int]:
    direct = {step.stage for step in steps if step.reads & changed}
    new: set[str] = set()
    found = []
    for n, step in enumerate(steps):
        if step.reads & changed or step.stage in new or step.source in direct:
            found.append(n)
            new.add(step.stage)
    return found


def gives_the_steps(steps: Sequence[Any], changed: set[str]) -> list[Any]:
    return [steps[n] for n in right(steps, changed)]


def gives_a_set(steps: Sequence[Any], changed: set[str]) -> set[int]:
    return set(right(steps, changed))


def counts_from_one(steps: Sequence[Any], changed: set[str]) -> list[int]:
    return [n + 1 for n in right(steps, changed)]


def right(steps: Sequence[Any], changed: set[str]) -> list[int]:
    found, new = [], set[str]()
    for n, step in enumerate(steps):
        if step.reads & changed or {step.stage, step.source} & new:
            found.append(n)
            new.add(step.stage)
    return found


# mend

MENDED = """\
FROM python:3.12-slim AS packages
RUN apt-get update && apt-get install --yes build-essential
COPY requirements.txt .
RUN --mount=type=secret,id=pipconf,target=/etc/pip.conf \\
    python -m venv /opt/venv \\
    && /opt/venv/bin/pip install --no-cache-dir -r requirements.txt

FROM python:3.12-slim
COPY --from=packages /opt/venv /opt/venv
COPY . /app
USER nobody
ENTRYPOINT ["/opt/venv/bin/python", "/app/run.py"]
"""


class Recipe(str):
    """A Dockerfile, called by what is wrong with it."""

    __name__: str


def but(name: str, *changes: tuple[str, str]) -> Recipe:
    text = MENDED
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    recipe = Recipe(text)
    recipe.__name__ = name
    return recipe


LAST, FETCH = "FROM python:3.12-slim\nCOPY", "COPY --from=packages /opt/venv /opt/venv\n"
LOCK, MOUNT = "COPY requirements.txt .", "RUN --mount=type=secret,id=pipconf,target=/etc/pip.conf"
COMPILER = "RUN apt-get update && apt-get install --yes build-essential\n"
START = 'ENTRYPOINT ["/opt/venv/bin/python", "/app/run.py"]'
AGAIN = f"{FETCH}COPY requirements.txt .\nRUN pip install --no-index --find-links /opt/venv -r requirements.txt\n"
MENDS: dict[Any, str] = {
    "x": "no line that begins with FROM",
    but("begins_with_latest", (LAST, "FROM python:latest\nCOPY")): "a stage begins with",
    but("begins_with_no_version", (LAST, "FROM python\nCOPY")): "a stage begins with",
    but("copies_the_code_first", (LOCK, "COPY . .")): "after all of the code was copied",
    but("forgets_the_lock", (f"{LOCK}\n", "")): "their list is not there yet",
    but("installs_again_and_keeps_the_cache", (FETCH, AGAIN)): "stays in its cache",
    but("forgets_the_mount", (MOUNT, "RUN true &&")): "does not see pip's configuration",
    but("keeps_the_password_as_argument", (LOCK, f"ARG INDEX_PASSWORD\n{LOCK}")): "ARG holds INDEX_PASSWORD",
    but("makes_the_password_a_variable", (LOCK, f"ENV PIP_TOKEN=x\n{LOCK}")): "ENV holds PIP_TOKEN",
    but("copies_the_password", (LOCK, "COPY requirements.txt pip.conf ./")): "copies pip.conf into a layer",
    but("writes_the_password", (LOCK, f"RUN pip config set a https://ci:pw@b\n{LOCK}")): "a password in it",
    but("forgets_the_compiler", (COMPILER, "")): "nothing can be compiled",
    but("has_one_stage", (f"\n{LAST[:-4]}", ""), (FETCH, "")): "a compiler is in the image",
    but("begins_from_the_first_stage", (LAST, "FROM packages\nCOPY")): "a compiler is in the image",
    but("ends_in_the_large_image", (LAST, "FROM python:3.12\nCOPY")): "a compiler is in the image",
    but("fetches_nothing", (FETCH, "")): "do not get into the last stage",
    but("forgets_the_code", ("COPY . /app\n", "")): "the code does not get into the last stage",
    but("forgets_the_user", ("USER nobody\n", "")): "runs as root",
    but("says_root_in_numbers", ("USER nobody", "USER 0:0")): "runs as root",
    but("becomes_root_again", ("USER nobody", "USER nobody\nUSER root")): "runs as root",
    but("starts_a_shell", (START, "ENTRYPOINT /opt/venv/bin/python /app/run.py")): "given to a shell",
    but("writes_a_list_in_python", (START, START.replace('"', "'"))): "given to a shell",
    but("starts_a_shell_in_brackets", (START, 'CMD ["sh", "-c", "python /app/run.py"]')): "a shell is started first",
    but("starts_nothing", (START, "")): "nothing says what is started",
    but("starts_something_else", ("run.py", "serve.py")): "what is started is",
}

# closure


def walk(names: Sequence[str], extras_count: bool = True, seen_by_name: bool = False, markers: bool = True) -> Any:
    found: dict[str, str] = {}
    seen: set[Any] = set()
    todo = [Requirement(name) for name in names]
    while todo:
        asked = todo.pop(0)
        name = canonicalize_name(asked.name)
        extras = ("", *asked.extras) if extras_count else ("",)
        key = name if seen_by_name else (name, extras)
        if key in seen:
            continue
        seen.add(key)
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        found[name] = distribution.version
        for text in distribution.requires or []:
            needed = Requirement(text)
            counts = needed.marker is None or any(needed.marker.evaluate({"extra": each}) for each in extras)
            if counts or not markers:
                todo.append(needed)
    return found


def stops_after_one_step(names: Sequence[str]) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for text in names:
        distribution = importlib.metadata.distribution(Requirement(text).name)
        wanted = [Requirement(each).name for each in distribution.requires or [] if ";" not in each]
        for name in (Requirement(text).name, *wanted):
            found[canonicalize_name(name)] = importlib.metadata.version(name)
    return found


def takes_every_marker(names: Sequence[str]) -> Any:
    return walk(names, markers=False)


def forgets_the_extras(names: Sequence[str]) -> Any:
    return walk(names, extras_count=False)


def sees_each_name_once(names: Sequence[str]) -> Any:
    return walk(names, seen_by_name=True)


def leaves_the_first_ones_out(names: Sequence[str]) -> Any:
    own = {canonicalize_name(Requirement(name).name) for name in names}
    return {name: version for name, version in walk(names).items() if name not in own}


def keeps_the_spelling(names: Sequence[str]) -> Any:
    found = walk(names)
    return {name.replace("-package", "_Package"): version for name, version in found.items()}


def freezes_the_environment(names: Sequence[str]) -> Any:
    return {canonicalize_name(each.name): each.version for each in importlib.metadata.distributions()}


def gives_the_names(names: Sequence[str]) -> Any:
    return sorted(walk(names))


def says_a_version_of_its_own(names: Sequence[str]) -> Any:
    return dict.fromkeys(walk(names), "latest")


# pack


def written(target: Path, packed: bytes) -> str:
    target.write_bytes(packed)
    return f"sha256:{hashlib.sha256(packed).hexdigest()}"


def archive_of(folder: Path, names: Sequence[str], **about: Any) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = (folder / name).stat().st_size
            for key, value in about.items():
                setattr(member, key, value)
            archive.addfile(member, io.BytesIO((folder / name).read_bytes()))
    return raw.getvalue()


def names_of(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def adds_the_folder(folder: Path, target: Path) -> str:
    with tarfile.open(target, "w:gz") as archive:
        archive.add(folder, arcname=".")
    return written(target, target.read_bytes())


def keeps_times_and_owners(folder: Path, target: Path) -> str:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for name in names_of(folder):
            archive.add(folder / name, arcname=name)
    return written(target, gzip.compress(raw.getvalue(), mtime=0))


def keeps_the_owners(folder: Path, target: Path) -> str:
    def timeless(about: tarfile.TarInfo) -> tarfile.TarInfo:
        about.mtime, about.mode = 0, 0o644
        return about

    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for name in names_of(folder):
            archive.add(folder / name, arcname=name, filter=timeless)
    return written(target, gzip.compress(raw.getvalue(), mtime=0))


def lets_gzip_write_the_time(folder: Path, target: Path) -> str:
    return written(target, gzip.compress(archive_of(folder, names_of(folder))))


def lets_gzip_write_the_name(folder: Path, target: Path) -> str:
    with gzip.GzipFile(target, "wb", mtime=0) as file:
        file.write(archive_of(folder, names_of(folder)))
    return written(target, target.read_bytes())


def takes_the_order_of_the_disk(folder: Path, target: Path) -> str:
    return written(target, gzip.compress(archive_of(folder, names_of(folder)[::-1]), mtime=0))


def digests_what_is_not_packed(folder: Path, target: Path) -> str:
    raw = archive_of(folder, names_of(folder))
    written(target, gzip.compress(raw, mtime=0))
    return f"sha256:{hashlib.sha256(raw).hexdigest()}"


def forgets_what_a_digest_begins_with(folder: Path, target: Path) -> str:
    return written(target, gzip.compress(archive_of(folder, names_of(folder)), mtime=0)).removeprefix("sha256:")


def does_not_look_into_folders(folder: Path, target: Path) -> str:
    names = sorted(path.name for path in folder.iterdir() if path.is_file())
    return written(target, gzip.compress(archive_of(folder, names), mtime=0))


def does_not_pack(folder: Path, target: Path) -> str:
    return written(target, archive_of(folder, names_of(folder)))


def makes_all_executable(folder: Path, target: Path) -> str:
    return written(target, gzip.compress(archive_of(folder, names_of(folder), mode=0o755), mtime=0))


# still_there


def layers_of(paths: Sequence[Path]) -> list[dict[str, bytes]]:
    found = []
    for path in paths:
        with tarfile.open(path) as archive:
            found.append({m.name: archive.extractfile(m).read() for m in archive if m.isfile()})  # type: ignore[union-attr]
    return found


def search(
    paths: Sequence[Path],
    folders: bool = True,
    opaque: bool = True,
    slash: str = "/",
    own_too: bool = False,
    comes_back: bool = True,
    first: bool = False,
) -> dict[str, bytes]:
    seen: dict[str, bytes] = {}
    hidden: dict[str, bytes] = {}
    for own in layers_of(paths):
        files = {name: content for name, content in own.items() if ".wh." not in name}
        if own_too:
            seen |= files
        for mark in own.keys() - files.keys():
            place, between, name = mark.rpartition("/")
            if name == ".wh..wh..opq":
                gone = place if opaque else "no such thing"
            else:
                gone = place + between + name.removeprefix(".wh.")
            for each in list(seen):
                if each == gone or (folders and each.startswith(gone + slash)):
                    hidden[each] = seen.pop(each)
        seen = files | seen if first else seen | files
        if comes_back:
            hidden = {name: content for name, content in hidden.items() if name not in files}
    return hidden


def looks_for_files_only(paths: Sequence[Path]) -> dict[str, bytes]:
    return search(paths, folders=False)


def does_not_know_the_opaque_mark(paths: Sequence[Path]) -> dict[str, bytes]:
    return search(paths, opaque=False)


def takes_any_name_that_begins_so(paths: Sequence[Path]) -> dict[str, bytes]:
    return search(paths, slash="")


def hides_the_layers_own_files(paths: Sequence[Path]) -> dict[str, bytes]:
    return search(paths, own_too=True, comes_back=False)


def tells_what_came_back(paths: Sequence[Path]) -> dict[str, bytes]:
    return search(paths, comes_back=False)


def gives_the_first_content(paths: Sequence[Path]) -> dict[str, bytes]:
    return search(paths, first=True)


def gives_the_marks(paths: Sequence[Path]) -> dict[str, bytes]:
    return {name: b"" for own in layers_of(paths) for name in own if ".wh." in name}


def gives_all_that_is_not_on_top(paths: Sequence[Path]) -> dict[str, bytes]:
    layers = layers_of(paths)
    return {name: content for own in layers[:-1] for name, content in own.items() if name not in layers[-1]}


def gives_a_list(paths: Sequence[Path]) -> list[str]:
    return list(search(paths))


MISTAKES: dict[str, dict[Any, str]] = {
    "runs_again": {
        forgets_the_steps_behind: "a step before it in",
        forgets_the_sources: "a step of packages does",
        runs_all_behind_in_the_file: "only steps for which one of the rules holds",
        runs_the_whole_stage: "only steps for which one of the rules holds",
        asks_only_what_the_source_reads: "a step of packages does",
        gives_the_steps: "too: it reads what changed",
        gives_a_set: "the result is set",
        counts_from_one: "too: it reads what changed",
    },
    "mend": MENDS,
    "closure": {
        stops_after_one_step: "a chain",
        takes_every_marker: "is not needed",
        forgets_the_extras: "an extra that was asked for",
        sees_each_name_once: "first without an extra, then with it",
        leaves_the_first_ones_out: "one that needs nothing: nothing",
        keeps_the_spelling: "a name that is written differently",
        freezes_the_environment: "is not needed",
        gives_the_names: "the result is list",
        says_a_version_of_its_own: "at 'latest'",
    },
    "pack": {
        adds_the_folder: "an entry that is no file",
        keeps_times_and_owners: "has the time",
        keeps_the_owners: "belongs to",
        lets_gzip_write_the_time: "packed at another time and place",
        lets_gzip_write_the_name: "packed at another time and place",
        takes_the_order_of_the_disk: "the order",
        digests_what_is_not_packed: "as the digest",
        forgets_what_a_digest_begins_with: "as the digest",
        does_not_look_into_folders: "the names",
        does_not_pack: "not packed by gzip",
        makes_all_executable: "the mode",
    },
    "still_there": {
        looks_for_files_only: "a whole folder",
        does_not_know_the_opaque_mark: "all in a folder",
        takes_any_name_that_begins_so: "a whole folder",
        hides_the_layers_own_files: "without",
        tells_what_came_back: "deleted, and put back",
        gives_the_first_content: "replaced, then deleted",
        gives_the_marks: "one file",
        gives_all_that_is_not_on_top: "nothing was deleted",
        gives_a_list: "the result is list",
    },
}
