"""``doctor``: what this machine can do, and what to do about the rest."""

import argparse
import json
import textwrap

from helpers.classroom.doctor import Finding, examine
from helpers.cli.continue_as import continue_as
from helpers.cli.environment import Environment
from helpers.places import is_checkout

SUMMARY = "tell what this machine can do, and the remedy for each problem"
MARKS = {"ok": "ok     ", "note": "note   ", "problem": "PROBLEM"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Examine the environment if there is one, else this Python: a doctor installs nothing."""
    environment = Environment()
    if environment.is_usable() and not environment.is_current():
        return continue_as(
            [str(environment.python), "-m", "helpers", "doctor", *(["--json"] if arguments.json else [])]
        )
    findings = examine()
    healthy = all(finding.status != "problem" for finding in findings)
    if arguments.json:
        told = {"healthy": healthy, "checkout": is_checkout(), "findings": [f.as_dict() for f in findings]}
        print(json.dumps(told, indent=1))
    else:
        print("\n".join(describe(finding) for finding in findings))
        print(f"\n{verdict(healthy)}")
    return 0 if healthy else 1


def verdict(healthy: bool) -> str:
    """The last line: what this machine is ready for."""
    if not healthy:
        return "See the remedies above."
    if is_checkout():
        return "This machine is ready for the course."
    return (
        "This installed package is ready to serve models. The lessons need a checkout: clone the course's repository."
    )


def describe(finding: Finding) -> str:
    """One finding as a line, and its remedy as another."""
    line = f"{MARKS[finding.status]} {finding.name:<13} {finding.detail}"
    if not finding.remedy:
        return line
    indent = " " * 22
    return (
        line + "\n" + textwrap.fill(f"Remedy: {finding.remedy}", 110, initial_indent=indent, subsequent_indent=indent)
    )
