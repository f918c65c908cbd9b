"""A Deployment on this machine: podman plays it, with its probes' port on loopback, and nothing of a cluster."""

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from helpers.deploy import engines, images
from helpers.deploy.targets.rules import at, document
from helpers.deploy.targets.trial import LOOK, PATIENCE, is_ready
from helpers.errors import UserError

# Where no systemd is (in another container, say) podman needs to be told what does its work instead.
WITHOUT_SYSTEMD = """\
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
"""


def why_not() -> str:
    """Why no Deployment can be played here; nothing if one can."""
    if not shutil.which("podman"):
        return "podman is not installed"
    if "podman" not in engines.working_engines():
        return "podman is installed, and does not work here"
    return ""


@dataclass(frozen=True)
class Pod:
    """A Deployment that is played: where it listens, and how its container is called."""

    container: str
    port: int
    environment: Mapping[str, str]

    def wait(self) -> None:
        """Until it says that it is ready."""
        gives_up = time.monotonic() + PATIENCE
        while not is_ready(self.port):
            if time.monotonic() > gives_up:
                raise UserError("The Deployment did not become ready.", self.podman("logs", self.container)[-800:])
            time.sleep(LOOK)

    def podman(self, *arguments: str) -> str:
        """What podman says; a failure is told with its last line."""
        return podman(self.environment, *arguments)


@contextlib.contextmanager
def played(folder: Path, port: int) -> Iterator[Pod]:
    """Play ``deployment.yaml`` while the block lasts; it listens on ``port`` of loopback only."""
    if reason := why_not():
        raise UserError(f"The Deployment cannot be played: {reason}.", "install podman, or use a cluster.")
    deployment = document(folder / "deployment.yaml")
    container = at(deployment, "spec.template.spec.containers.0", "deployment.yaml")
    container["ports"][0] |= {"hostPort": port, "hostIP": "127.0.0.1"}
    with tempfile.TemporaryDirectory(prefix="servelab-pod-") as place:
        (Path(place) / "containers.conf").write_text(WITHOUT_SYSTEMD, "utf-8")
        environment = dict(os.environ)
        if not Path("/run/systemd/system").exists():
            environment["CONTAINERS_CONF"] = str(Path(place) / "containers.conf")
        _bring(container["image"], environment)
        file = Path(place) / "deployment.yaml"  # JSON is YAML
        file.write_text(json.dumps(deployment), "utf-8")
        try:
            podman(environment, "play", "kube", str(file))
            yield Pod(f"{deployment['metadata']['name']}-pod-0-{container['name']}", port, environment)
        finally:
            with contextlib.suppress(UserError):
                podman(environment, "play", "kube", "--down", str(file))


def podman(environment: Mapping[str, str], *arguments: str) -> str:
    ran = subprocess.run(
        ["podman", *arguments], capture_output=True, text=True, env=dict(environment), check=False, timeout=120
    )
    if ran.returncode != 0:
        last = (ran.stderr or ran.stdout).strip().splitlines()[-1:] or ["it said nothing"]
        raise UserError(
            f"podman {' '.join(arguments[:2])} failed: {last[0][:300]}", "podman info tells what it can do."
        )
    return ran.stdout.strip()


def _bring(image: str, environment: Mapping[str, str]) -> None:
    """An image that was built in plain Python becomes one of podman's."""
    with contextlib.suppress(UserError):
        podman(environment, "image", "exists", image)
        return
    number = podman(environment, "pull", "--quiet", f"oci:{images.layout()}:{image}").splitlines()[-1]
    podman(environment, "tag", number, image)
