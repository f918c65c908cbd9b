"""What a platform wants beside a bundle: written, checked, and checked again after somebody edited it.

Each platform is a module with ``files(bundle, image)``, the texts of its artefacts, and
``check(folder, bundle)``, which refuses what that platform would refuse, or what would run badly.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from helpers.deploy.packing import Bundle
from helpers.deploy.targets import aws_lambda, azure_functions, cloud_run, kubernetes
from helpers.deploy.targets.rules import expect_tag
from helpers.deploy.unfinished import unfinished
from helpers.errors import UserError

PLATFORMS: dict[str, ModuleType] = {
    "cloud-run": cloud_run,
    "kubernetes": kubernetes,
    "lambda": aws_lambda,
    "azure": azure_functions,
}
WITH_BUNDLE = ("lambda", "azure")  # these build from a folder that holds the bundle too


def write(
    platform: str, bundle: Bundle, into: Path, image: str | None = None, say: Callable[[str], None] = print
) -> Path:
    """Write the artefacts into a new folder, once they have passed their own check."""
    if changed := bundle.changed():
        raise UserError(f"{bundle.path.name} was changed after it was packed: {changed[0]}.", "bundle it again.")
    expect_tag(image or bundle.reference, "--image")
    texts = PLATFORMS[platform].files(bundle, image or bundle.reference)
    if into.exists():
        _expect_as_written(into, texts)
    else:
        with unfinished(into.parent, ".target-") as place:
            beside = place / "target"
            beside.mkdir()
            for name, text in texts.items():
                (beside / name).write_text(text, "utf-8", newline="\n")
            if platform in WITH_BUNDLE:
                shutil.copytree(bundle.path, beside / "bundle", ignore=shutil.ignore_patterns("__pycache__"))
            PLATFORMS[platform].check(beside, bundle)
            beside.replace(into)
    return check(platform, into, bundle, say)


def check(platform: str, folder: Path, bundle: Bundle, say: Callable[[str], None] = print) -> Path:
    """Refuse what the platform would refuse, or what would run badly there."""
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder}.", "leave --check out to write it.", 2)
    for note in PLATFORMS[platform].check(folder, bundle):
        say(note)
    names = sorted(path.name for path in folder.iterdir())
    say(f"{folder}: {', '.join(names)}; nothing to object to")
    return folder


def _expect_as_written(folder: Path, texts: dict[str, str]) -> None:
    """Somebody's edits are not written over."""
    for name, text in texts.items():
        path = folder / name
        if not path.is_file() or path.read_text("utf-8") != text:
            raise UserError(
                f"{path} is there, and is not what would be written.", "name another folder --into, or --check it.", 2
            )
