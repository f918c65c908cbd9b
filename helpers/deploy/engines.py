"""Docker, podman and buildah: which of them work here, what they say while they build, which images they hold."""

import os
import re
import shutil
import subprocess
import textwrap
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from helpers.errors import UserError

ENGINES = ("docker", "podman", "buildah")
LABEL = "servelab.bundle"  # what tells images of bundles from others
# What is worth a line: the beginning of a step, of podman and buildah or of Docker.
STEP = re.compile(r"^(\[\d+/\d+\] )?STEP \d+|^COMMIT |^#\d+ \[[^\]]+\] (?!DONE|CACHED)|^Step \d+/")
KEPT_LINES = 300

# What an engine's words mean, the most telling first; {0} is what was found, {base} the base image.
MEANINGS = (
    (r"[Nn]o space left on device", "The disk is full.", "make room ({engine} system prune), and build again."),
    (
        r"initializing source|pinging container registry|failed to resolve source metadata|pull access denied"
        r"|manifest unknown|image not known|short-name|reading manifest",
        "The base image {base} is not here, and its registry does not give it.",
        "name one that is here with --base, or build --with python, which needs none.",
    ),
    (
        r"CERTIFICATE_VERIFY_FAILED",
        "The certificate of the package index is not trusted during the build.",
        "set PIP_CERT to the file of its authority, or build --with python.",
    ),
    (
        r"[Ff]ailed to establish a new connection|connection broken by|Temporary failure in name resolution"
        r"|ConnectTimeoutError|Could not fetch URL",
        "The package index cannot be reached from the build.",
        "pip config list shows which one; or build --with python, which takes the packages that are installed here.",
    ),
    (
        r"requirement (\S+) \(from versions: none\)",
        "The package index cannot be reached from the build, or has no {0} at all.",
        "pip config list shows which one; or build --with python, which takes the packages that are installed here.",
    ),
    (
        r"No matching distribution found for (\S+)",
        "The package index has no {0} for the Python of {base}.",
        "choose a base with the bundle's Python, or build --with python.",
    ),
)


@dataclass(frozen=True)
class Held:
    """An image of a bundle that an engine holds."""

    engine: str
    reference: str
    number: str
    size: int  # bytes, as exact as the engine says it


def working_engines() -> list[str]:
    """Those that are installed and answer."""
    return [name for name in ENGINES if shutil.which(name) and quietly([*program(name), "info"]).returncode == 0]


def has_systemd() -> bool:
    """Whether it manages this machine; inside of a container, say, it does not."""
    return Path("/run/systemd/system").exists()


def program(engine: str) -> list[str]:
    """The engine, told what does systemd's work where there is none."""
    if engine == "podman" and not has_systemd() and (shutil.which("runc") or Path("/usr/sbin/runc").exists()):
        return ["podman", "--runtime", "runc", "--cgroup-manager", "cgroupfs"]
    return [engine]


def follow(command: Sequence[str], say: Callable[[str], None], about: Mapping[str, str]) -> None:
    """Run a build to its end and say each step as it begins; a failure is told in a sentence."""
    kept: deque[str] = deque(maxlen=KEPT_LINES)
    environment = {**os.environ, "DOCKER_BUILDKIT": "1"}  # which knows secrets
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", env=environment
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                kept.append(line.strip())
                if STEP.match(line):
                    say(textwrap.shorten(re.sub(r" --mount=\S+", "", line), 110, placeholder=" …"))
        except BaseException:  # Ctrl+C, or who listens has gone
            process.terminate()
            raise
    if process.returncode != 0:
        raise meaning([line for line in kept if line], about)


def meaning(lines: Sequence[str], about: Mapping[str, str]) -> UserError:
    """What the last lines of a failed build say."""
    for pattern, sentence, remedy in MEANINGS:
        for line in lines:
            if found := re.search(pattern, line):
                names = {"base": "its base image", **about}
                return UserError(sentence.format(*found.groups(), **names), remedy.format(**names))
    last = " / ".join(lines[-3:]) or "it said nothing"
    return UserError(f"{about['engine']} did not build it: {last[-600:]}", "or build --with python.")


def held(engine: str) -> list[Held]:
    """Its images of bundles."""
    name = "{{.Name}}" if engine == "buildah" else "{{.Repository}}"
    form = name + ":{{.Tag}} {{.ID}} {{.Size}}"
    told = quietly([*program(engine), "images", "--filter", f"label={LABEL}", "--format", form]).stdout
    rows = [line.split(maxsplit=2) for line in told.splitlines() if "<none>" not in line]  # "364 MB" is the third
    return [
        Held(engine, name.removeprefix("localhost/"), number.removeprefix("sha256:")[:12], _bytes(size))
        for name, number, size in rows
    ]


def all_held() -> list[Held]:
    """Of every engine that works; what podman and buildah share counts once, as podman's."""
    found: list[Held] = []
    for engine in working_engines():
        there = {(image.reference, image.number) for image in found}
        found += [image for image in held(engine) if (image.reference, image.number) not in there]
    return found


def remove(image: Held) -> None:
    """Take an image away from its engine."""
    ran = quietly([*program(image.engine), "rmi", image.number])
    if ran.returncode != 0:
        last = ran.stderr.strip().splitlines()[-1:] or ["it said nothing"]
        raise UserError(f"{image.engine} keeps {image.reference}: {last[0][:300]}", "end what runs of it first.")


def quietly(command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    """What a short command says; a failure is an exit code."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return subprocess.CompletedProcess(list(command), 1, "", "")


def _bytes(text: str) -> int:
    """Of ``364 MB`` or ``1.2GB``."""
    found = re.fullmatch(r"([\d.]+) ?([kMG]?)B", text.strip())
    return int(float(found[1]) * {"": 1, "k": 1e3, "M": 1e6, "G": 1e9}[found[2]]) if found else 0
