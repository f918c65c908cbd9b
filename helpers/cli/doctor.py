"""``doctor``: what this machine can do, and what to do about the rest."""

import argparse
import json
import textwrap

from helpers.classroom.doctor import Finding, examine
from helpers.cli.continue_as import continue_as
from helpers.cli.environment import Environment

SUMMARY = "tell what this machine can do, and the remedy for each problem"
MARKS = {"ok": "ok     ", "note": "note   ", "problem": "PROBLEM"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Examine the environment if there is one, else this Python: a doctor installs nothing."""
    environment = Environment()
    if environment.is_whole() and not environment.is_current():
        return continue_as(
            [str(environment.python), "-m", "helpers", "doctor", *(["--json"] if arguments.json else [])]
        )
    findings = examine()
    healthy = all(finding.status != "problem" for finding in findings)
    if arguments.json:
        print(json.dumps({"healthy": healthy, "findings": [f.as_dict() for f in findings]}, indent=1))
    else:
        print("\n".join(describe(finding) for finding in findings))
        print("\nThis machine is ready for the course." if healthy else "\nSee the remedies above.")
    return 0 if healthy else 1


def describe(finding: Finding) -> str:
    """One finding as a line, and its remedy as another."""
    line = f"{MARKS[finding.status]} {finding.name:<13} {finding.detail}"
    if not finding.remedy:
        return line
    indent = " " * 22
    return (
        line + "\n" + textwrap.fill(f"Remedy: {finding.remedy}", 110, initial_indent=indent, subsequent_indent=indent)
    )
