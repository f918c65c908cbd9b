"""The rules for what a notebook shows when it has run in the course's environment."""

import re
from collections.abc import Iterator
from typing import Any

from helpers.classroom.lint import html_images_have_alt
from helpers.classroom.package_lint import extras_named_in

SHOWN = ("text/plain", "text/html", "text/markdown")
NOT_INSTALLED = re.compile(r"\b(?:not|isn't) installed\b|\bsetup --extra\b|\bfor want of\b", re.IGNORECASE)

# No package of the course: lessons go on without them.
CONTAINER_ENGINES = re.compile(r"\b(?:docker|podman|buildah) is not installed\b")


def lint_outputs(notebook: Any) -> list[str]:
    """All that breaks a rule in the outputs of an executed notebook, as ``cell N: what``."""
    opening = notebook["cells"][0]["source"] if notebook["cells"] else ""
    found = []
    for index, cell in enumerate(notebook["cells"]):
        for output in cell.get("outputs", []):
            for rule in (is_no_stderr, has_alt_text):
                found += [f"cell {index}: {problem}" for problem in rule(output)]
            found += [f"cell {index}: {problem}" for problem in needs_no_surprising_package(output, opening)]
    return found


def is_no_stderr(output: Any) -> Iterator[str]:
    if output.get("name") == "stderr":
        yield f"writes to stderr: {''.join(output['text'])}"


def has_alt_text(output: Any) -> Iterator[str]:
    data = output.get("data", {})
    if "image/png" in data:
        yield "shows a picture without alt text: use Picture"
    yield from html_images_have_alt("".join(data.get("text/html", "")))


def needs_no_surprising_package(output: Any, opening: str) -> Iterator[str]:
    """A message that something is not installed; allowed about an extra that the first cell announces."""
    for text in ("".join(output.get("text", "")), *("".join(output.get("data", {}).get(kind, "")) for kind in SHOWN)):
        text = CONTAINER_ENGINES.sub("", text)
        announced = any(f"setup --extra {extra}" in text for extra in extras_named_in(opening))
        if not announced and (found := NOT_INSTALLED.search(text)):
            yield f"says that something is missing: {text[max(0, found.start() - 80) : found.end() + 80]!r}"


SHOWN = ("text/plain", "text/html", "text/markdown")
