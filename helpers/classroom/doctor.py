"""What this machine can do for the course: each finding with its remedy.

Standard library first: a doctor must be able to examine a machine on which
nothing is installed. Frameworks are looked up and never imported, so that the
first cell of a notebook can ask too.
"""

import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from helpers.errors import UserError
from helpers.places import ROOT, WORK, is_checkout, lab_home

GIB = 1024**3
SETUP = "python3 -m helpers setup"
# The packages whose versions decide whether the lessons run as written.
CORE_PACKAGES = ["jupyterlab", "ipywidgets", "torch", "torchvision", "scikit-learn", "onnx", "onnxscript"]
CORE_PACKAGES += ["onnxruntime", "netron", "bentoml", "fastapi", "locust", "numpy", "nbclient", "protobuf"]
PORTS = {8888: "JupyterLab", 3000: "serve"}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: ``ok``, a ``note`` (good to know), or a ``problem``."""

    name: str
    status: str
    detail: str
    remedy: str = ""

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


def examine(quick: bool = False) -> list[Finding]:
    """All findings; ``quick`` leaves out what takes more than a few milliseconds."""
    examinations: list[Callable[[], Finding]] = [python, packages, cores, memory, disk, write_access]
    if not quick:
        examinations += [providers, gpu, ports, containers, netron, browser_proxy]
    return [examination() for examination in examinations]


def python() -> Finding:
    detail = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        return Finding("Python", "problem", detail, "use Python 3.11 to 3.13, then " + SETUP)
    return Finding("Python", "ok", detail)


def pins() -> dict[str, str]:
    """The versions in constraints.txt, by package."""
    found = {}
    for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines():
        match = re.match(r"([A-Za-z0-9._-]+)==([^\s;]+)", line)
        if match:
            found[match[1].lower().replace("_", "-")] = match[2]
    return found


def packages() -> Finding:
    if not is_checkout():
        return Finding("packages", "note", "this is an installed package, not a checkout: it serves, without lessons")
    pinned, missing, other = pins(), [], []
    for name in CORE_PACKAGES:
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
            continue
        # A build such as 2.13.0+cpu is the pinned 2.13.0.
        if version.split("+")[0] != pinned[name]:
            other.append(f"{name} is {version}, not {pinned[name]}")
    if len(missing) > len(CORE_PACKAGES) / 2:
        return Finding("packages", "problem", "the course's packages are not installed yet", SETUP)
    if missing:
        return Finding("packages", "problem", f"not installed: {', '.join(missing)}", SETUP)
    if other:
        return Finding("packages", "problem", "; ".join(other), SETUP)
    return Finding("packages", "ok", f"{len(CORE_PACKAGES)} that matter are at their pins")


def cores() -> Finding:
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    allowed = _cpu_quota()
    if allowed and allowed < count:
        return Finding("cores", "note", f"{count}, of which a container limit leaves {allowed:g}")
    if count < 2:
        return Finding("cores", "note", "1: load tests will compete with the server that they test")
    return Finding("cores", "ok", f"{count} for this process")


def _cpu_quota() -> float | None:
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return int(quota) / int(period)
    except (OSError, ValueError):
        return None


def memory() -> Finding:
    total, available = _memory()
    if total is None or available is None:
        return Finding("memory", "note", "cannot be told before the packages are installed")
    detail = f"{available / GIB:.1f} GB available of {total / GIB:.1f}"
    if available < 2 * GIB:
        return Finding("memory", "problem", detail, "close other programs: the lessons need about 2 GB")
    return Finding("memory", "ok", detail)


def _memory() -> tuple[int | None, int | None]:
    try:
        import psutil
    except ImportError:
        try:
            lines = Path("/proc/meminfo").read_text().splitlines()
        except OSError:
            return None, None
        sizes = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}
        return sizes.get("MemTotal"), sizes.get("MemAvailable")
    seen = psutil.virtual_memory()
    return seen.total, seen.available


def disk() -> Finding:
    free = shutil.disk_usage(ROOT).free
    installed = (ROOT / ".venv").exists() or not is_checkout()
    needed = GIB if installed else 6 * GIB
    detail = f"{free / GIB:.1f} GB free"
    if free < needed:
        return Finding("disk", "problem", detail, f"free some space: {needed / GIB:.0f} GB are needed")
    return Finding("disk", "ok", detail)


def write_access() -> Finding:
    try:
        folders = [lab_home(), WORK] if is_checkout() else [lab_home()]
    except UserError as error:
        return Finding("write access", "problem", error.sentence, error.remedy)
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            remedy = "clone the course to a folder of your own, or set SERVELAB_HOME to one"
            return Finding("write access", "problem", f"{folder}: {error.strerror}", remedy)
    return Finding("write access", "ok", f"{' and '.join(map(str, folders))} can be written")


def providers() -> Finding:
    try:
        import onnxruntime
    except ImportError:
        return Finding("providers", "note", "known once ONNX Runtime is installed")
    names = [name.removesuffix("ExecutionProvider") for name in onnxruntime.get_available_providers()]
    return Finding("providers", "ok", f"ONNX Runtime {onnxruntime.__version__} runs on: {', '.join(names)}")


def gpu() -> Finding:
    said = _ask("nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader")
    if said:
        return Finding("GPU", "ok", "; ".join(said.splitlines()))
    if sys.platform == "darwin" and platform.machine() == "arm64":
        return Finding("GPU", "ok", "Apple silicon")
    return Finding("GPU", "ok", "none, and no lesson needs one")


def ports() -> Finding:
    taken = [f"{port} ({purpose})" for port, purpose in PORTS.items() if not _is_free(port)]
    try:
        with socket.create_server(("127.0.0.1", 0)):
            pass
    except OSError as error:
        remedy = "allow Python to listen on 127.0.0.1 in this machine's firewall or sandbox"
        return Finding("ports", "problem", f"no server can be started on loopback: {error.strerror}", remedy)
    if taken:
        return Finding("ports", "note", f"taken: {', '.join(taken)}; name another with --port")
    return Finding("ports", "ok", f"free: {', '.join(map(str, PORTS))}")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) != 0


def containers() -> Finding:
    found = []
    for tool in ("docker", "podman", "buildah"):
        if shutil.which(tool):
            # A docker client without its daemon is common, and of no use.
            works = tool != "docker" or _ask("docker", "info", "--format", "{{.ServerVersion}}")
            found.append(tool if works else "docker (its daemon does not answer)")
    if not found:
        return Finding("containers", "ok", "no docker, podman or buildah; the course works without")
    return Finding("containers", "ok", ", ".join(found))


def netron() -> Finding:
    if importlib.util.find_spec("netron") is None:
        return Finding("Netron", "note", "not installed yet")
    return Finding("Netron", "ok", f"{importlib.metadata.version('netron')}, served from this machine")


def browser_proxy() -> Finding:
    prefix = os.environ.get("JUPYTERHUB_SERVICE_PREFIX")
    if importlib.util.find_spec("jupyter_server_proxy") is None:
        detail = "jupyter-server-proxy, which carries the kernel's pages to the browser, is not installed"
        return (
            Finding("browser proxy", "problem", detail, SETUP) if prefix else Finding("browser proxy", "note", detail)
        )
    where = f"behind a hub at {prefix}" if prefix else "JupyterLab carries the kernel's pages to the browser"
    return Finding("browser proxy", "ok", where)


def _ask(*command: str) -> str:
    """What a program prints, or nothing if it is absent, fails or does not answer."""
    if not shutil.which(command[0]):
        return ""
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return said.stdout.strip() if said.returncode == 0 else ""


def problems(findings: list[Finding]) -> Iterator[Finding]:
    """The findings that stand in the way."""
    return (finding for finding in findings if finding.status == "problem")
