"""An image, running: by the engine that holds it, or else unpacked and started in namespaces of its own."""

import contextlib
import json
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from helpers.deploy import engines, images, running, sandbox
from helpers.errors import UserError

KILLED = (-signal.SIGKILL, 128 + signal.SIGKILL) if hasattr(signal, "SIGKILL") else ()
ENDED = (0, -signal.SIGTERM, 128 + signal.SIGTERM)


def run(
    reference: str, port: int, memory: int | None = None, engine: str | None = None, say: Callable[[str], None] = print
) -> int:
    """Run an image in the foreground, with at most ``memory`` megabytes; Ctrl+C and SIGTERM reach the service in it."""
    engine = engine or holder(reference)
    say(f"{engine} runs {reference}: http://127.0.0.1:{port}")
    with command(reference, port, memory, engine) as started:
        code = foreground(started)
    if code in ENDED:
        return 0
    if code in KILLED:
        limit = f" of {memory} MB" if memory else ""
        raise UserError(
            f"{reference} was killed, as happens when memory{limit} does not suffice.", "give it more: --memory MB."
        )
    remedy = f"what it said stands above; {memory} MB may be too little: --memory MB." if memory else ""
    raise UserError(f"{reference} ended with code {code}.", remedy or "what it said stands above.")


def holder(reference: str) -> str:
    """Who has the image: an engine, or we ourselves."""
    found = {name: images.PYTHON for name, *_ in images.listed()}
    found |= {image.reference: image.engine for image in reversed(engines.all_held())}
    if reference not in found:
        raise UserError(f"There is no image {reference!r}.", f"choose from: {', '.join(sorted(found)) or 'none'}.", 2)
    return found[reference]


@contextlib.contextmanager
def command(reference: str, port: int, memory: int | None, engine: str) -> Iterator[list[str]]:
    """The command that runs an image on a port of loopback, for as long as the block lasts."""
    if engine == images.PYTHON:
        with running.unpacked(reference, port) as start:
            yield sandbox.limited(start, memory)
    elif engine == "buildah":
        with _mounted(reference, port) as start:
            yield sandbox.limited(start, memory)
    else:
        yield _run_command(reference, port, memory, engine)


def foreground(start: list[str]) -> int:
    """Run a command to its end, and pass on to it that it is to end."""
    # In a folder of its own, since podman's monitor leaves a note where it stands when memory did not suffice.
    with tempfile.TemporaryDirectory(prefix="servelab-run-", ignore_cleanup_errors=True) as place:
        process = subprocess.Popen(start, start_new_session=True, cwd=place)
        numbers = (signal.SIGTERM, signal.SIGINT)
        before = [signal.signal(number, lambda *_: running.end(process)) for number in numbers]
        try:
            return process.wait()
        finally:
            for number, handler in zip(numbers, before, strict=True):
                signal.signal(number, handler)


def _run_command(reference: str, port: int, memory: int | None, engine: str) -> list[str]:
    """Nothing in it can be written but /tmp, and only this machine reaches it."""
    start = [*engines.program(engine), "run", "--rm", "--pull", "never", "--read-only", "--tmpfs", "/tmp"]
    start += ["--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--publish", f"127.0.0.1:{port}:3000"]
    if not engines.has_systemd():  # whose timers ask for the health, and whose limits these are
        start += ["--no-healthcheck", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"]
    start += ["--memory", f"{memory}m", "--memory-swap", f"{memory}m"] if memory else []
    return [*start, reference]


@contextlib.contextmanager
def _mounted(reference: str, port: int) -> Iterator[list[str]]:
    """buildah builds and runs none: its image is mounted, and started as one of ours."""
    container = _buildah("from", "--pull-never", reference)
    try:
        root = _buildah("mount", container)
        about = json.loads(_buildah("inspect", "--type", "image", reference))["Docker"]["config"]
        settings = dict(entry.split("=", 1) for entry in about["Env"]) | {"HOST": "127.0.0.1", "PORT": str(port)}
        yield sandbox.command_for(Path(root), about["Entrypoint"], settings, about["WorkingDir"])
    finally:
        with contextlib.suppress(UserError):
            _buildah("rm", container)


def _buildah(*arguments: str) -> str:
    ran = engines.quietly(["buildah", *arguments])
    if ran.returncode != 0:
        last = ran.stderr.strip().splitlines()[-1:] or ["it said nothing"]
        raise UserError(f"buildah {arguments[0]} failed: {last[0][:300]}", "podman runs what buildah has built.")
    return ran.stdout.strip()
