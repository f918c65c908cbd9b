"""A base image made here of Debian's packages, for engines that find no registry; one in each run of the tests.

An engine gets a storage of its own for the test run, so that nothing is left with those of the machine.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.atomic_files import replacing
from helpers.deploy import engines
from helpers.process_lock import ProcessLock

NAME = "localhost/servelab-base:1"
PACKAGES = "python3,python3-pip,ca-certificates"
STORAGE = """\
[storage]
driver = "{driver}"
graphroot = "{folder}/graph"
runroot = "{folder}/run"
[storage.options.overlay]
skip_mount_home = "true"
{more}
"""
# Overlays are fastest; they do not lie on one another, where fuse-overlayfs may do, and vfs copies.
DRIVERS = {
    "overlay": ("overlay", ""),
    "fuse": ("overlay", 'mount_program = "/usr/bin/fuse-overlayfs"'),
    "vfs": ("vfs", ""),
}


def why_not(engine: str) -> str:
    """Why this engine builds nothing here; nothing if it can."""
    if not shutil.which(engine):
        return f"{engine} is not installed"
    if sys.platform != "linux" or os.geteuid() != 0 or not shutil.which("debootstrap"):
        return "a base image is made by debootstrap, as root"
    if engine not in engines.working_engines():
        return f"{engine} is installed, and does not work here"
    return ""


def prepare(engine: str, patch: pytest.MonkeyPatch) -> None:
    """Give the engine a storage with the base image in it; skip, with the reason, where that is impossible."""
    if reason := why_not(engine):
        pytest.skip(reason)
    home = Path(os.environ["SERVELAB_TEST_HOME"])
    archive = _archive(home)
    if engine == "docker":
        said("docker", "import", str(archive), NAME)
        return None
    folder = home / f"{engine}-{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}"
    for driver, more in DRIVERS.values():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        (folder / "storage.conf").write_text(STORAGE.format(driver=driver, folder=folder, more=more))
        patch.setenv("CONTAINERS_STORAGE_CONF", str(folder / "storage.conf"))
        try:
            return _bring(engine, archive)
        except subprocess.CalledProcessError as error:
            reason = error.stderr.strip()[-300:]
    pytest.skip(f"{engine} keeps no image in a storage of its own: {reason}")


def said(*command: str) -> str:
    """What an engine says; a failure is an error."""
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout.strip()


def containers(engine: str) -> str:
    """Those that are there, also the ones in which images are built."""
    return said("buildah", "containers", "-q") if engine == "buildah" else said("podman", "ps", "-aq", "--external")


def _bring(engine: str, archive: Path) -> None:
    """Import the base, and see whether what was written can be mounted."""
    if engine == "podman":
        said("podman", "import", "--quiet", str(archive), NAME)
        said("podman", "image", "mount", NAME)
        said("podman", "image", "unmount", NAME)
        return
    container = said("buildah", "from", "scratch")
    said("buildah", "add", "--quiet", container, str(archive), "/")
    said("buildah", "commit", "--quiet", "--rm", container, NAME)
    container = said("buildah", "from", "--pull-never", NAME)
    said("buildah", "mount", container)
    said("buildah", "rm", container)


def _archive(home: Path) -> Path:
    """The base's files; the first who needs them makes them, and others wait."""
    archive, failed = home / "base.tar", home / "base.failed"
    with ProcessLock(home / "base.lock"):
        if not archive.exists() and not failed.exists():
            if reason := _bootstrap(home / "base", archive):
                failed.write_text(reason)
            shutil.rmtree(home / "base", ignore_errors=True)
    if failed.exists():
        pytest.skip(failed.read_text())
    return archive


def _bootstrap(root: Path, archive: Path) -> str:
    """Make them; or the reason why not."""
    form = "$(REPO_URI) $(RELEASE) $(COMPONENT)"  # from where this machine has its own packages
    told = subprocess.run(
        ["apt-get", "indextargets", "--format", form, "Created-By: Packages"], capture_output=True, text=True
    )
    sources = [line.split() for line in told.stdout.splitlines()]
    found = [(site, release) for site, release, component in sources if component == "main" and "-" not in release]
    if not found:
        return "apt knows no Debian to take a base image from"
    site, release = found[0]
    command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", release, str(root), site]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode != 0:
        return f"debootstrap made no base image: {' / '.join(made.stdout.strip().splitlines()[-2:])[-300:]}"
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    if (root / "usr/bin/python3").readlink().name != version:
        return f"{release} has another Python than {version}, with which bundles are packed here"
    without = [f"--exclude=./{name}/*" for name in ("proc", "sys", "dev", "var/cache/apt", "var/lib/apt/lists")]
    with replacing(archive) as beside:
        subprocess.run(["tar", "-C", str(root), *without, "-cf", str(beside), "."], check=True)
    return ""
