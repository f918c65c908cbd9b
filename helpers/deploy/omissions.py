"""What a bundle may lack: said beforehand where the source hints at it, and afterwards where its start shows it."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from helpers.deploy.contents import Contents
from helpers.deploy.kit import ROOMS
from helpers.deploy.needs import Needs
from helpers.deploy.requirements import installed_modules, normal_name
from helpers.deploy.source_scan import Mentions
from helpers.errors import UserError
from helpers.places import ROOT

NO_MODULE = re.compile(r"needs ([\w.]+), which is not installed|No module named '([\w.]+)'")
NO_FILE = re.compile(r"No such file or directory|There is no file|FileNotFoundError|doesn't exist")


@dataclass(frozen=True)
class Omissions:
    """Of one bundle."""

    target: str
    folder: Path
    found: Needs
    mentions: Mentions
    contents: Contents

    def notes(self) -> list[str]:
        """What only the user can judge, a line for each."""
        lines = []
        for name, where in sorted(self.mentions.imports.items()):
            if name.startswith("helpers"):
                if self._is_beyond_the_kit(name):
                    lines.append(f"note: {where} imports {name}, which is not a part of the bundle's serving engine")
                continue
            owners = {normal_name(each) for each in installed_modules().get(name, [])}
            if owners and not owners & self.found.packages.keys():
                lines.append(
                    f"note: {where} imports {name} in a function, and it is not packed; if requests need it, "
                    f"add --require {min(owners)}"
                )
            elif not owners:
                lines.append(f"note: {where} imports {name}, which is not installed here")
        for name, where in self._not_packed():
            lines.append(
                f"note: {where} names {name}, which is not packed; if the service reads it, "
                f"add --include {shlex.quote(name)}"
            )
        for name, home in self.found.elsewhere.items():
            lines.append(f"note: {name} was imported from {home}, and the bundle has no copy of it")
        if self.mentions.variables:
            named = ", ".join(sorted(self.mentions.variables))
            lines.append(f"note: it reads variables of the environment, which a bundle does not hold: {named}")
        return lines

    def refusal(self, line: str) -> UserError:
        """Why the bundle does not start, in the service's own words, and what to do about it."""
        return UserError(f"The bundle of {self.target} does not start: {line.rstrip('.')}.", self._remedy(line))

    def _remedy(self, line: str) -> str:
        if missing := NO_MODULE.search(line):
            name = missing[1] or missing[2]
            top = name.partition(".")[0]
            if top == "helpers":
                return "a bundle holds of this kit only what serves; copy what the service needs into its own package."
            if home := self.found.elsewhere.get(top):
                return (
                    f"{top} was found in {home}, which is neither the service's folder nor an installed package: "
                    "bundle in a folder that holds both, or install it."
                )
            owners = installed_modules().get(top)
            return f"--require {owners[0]}" if owners else f"put {name} into {self.folder}, or install it."
        if NO_FILE.search(line):
            named = [name for name, _ in self._not_packed()]
            which = shlex.quote(named[0]) if named else "FILE"
            return (
                f"pack it, with --include {which} or @service(files=[…]), and open it by its place beside the module, "
                "Path(__file__).parent / …: a bundle runs in any directory."
            )
        return "if it needs a file, a package or a model that was not packed: --include, --require, --model."

    def _not_packed(self) -> list[tuple[str, str]]:
        """Files and folders that the source names, and of which the bundle has nothing."""
        packed = self.contents.files
        return [
            (name, where)
            for name, where in sorted(self.mentions.paths.items())
            if name not in packed and not any(each.startswith(f"{name}/") for each in packed)
        ]

    @staticmethod
    def _is_beyond_the_kit(name: str) -> bool:
        room = name.split(".")[1:2]
        return bool(room) and (ROOT / "helpers" / room[0]).is_dir() and room[0] not in ROOMS
