"""A Deployment on this machine: podman plays it, with its probes' port on loopback, and nothing of a cluster."""

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from helpers.deploy import images
from helpers.deploy.targets.rules import at, document
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
    if "podman" not in images.working_engines():
        return "podman is installed, and does not work here"
    return ""


@contextlib.contextmanager
def played(folder: Path, port: int) -> Iterator[str]:
    """Play ``deployment.yaml`` for as long as the block lasts; the container's name. It listens on ``port``, loopback only."""
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
            yield f"{deployment['metadata']['name']}-pod-0-{container['name']}"
        finally:
            with contextlib.suppress(UserError):
                podman(environment, "play", "kube", "--down", str(file))


def podman(environment: Mapping[str, str], *arguments: str) -> str:
    """What it says; a failure is told with its last line."""
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
