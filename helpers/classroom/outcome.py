"""The answer to a check, a hint and a solution: as text, and as a box in a notebook."""

import html
from dataclasses import dataclass
from typing import Any

MIME_TYPE = "application/vnd.servelab.outcome+json"

CORRECT = "correct"
NOT_YET = "not yet"
NOT_ATTEMPTED = "not attempted"
RAISED = "your code raised"

# Border colours that stand out on a light and a dark page; the word says the same.
COLOURS = {CORRECT: "#2e7d32", NOT_YET: "#b26a00", NOT_ATTEMPTED: "#6b7280", RAISED: "#c62828", "": "#1565c0"}


@dataclass(frozen=True)
class Message:
    """A heading and labelled lines, shown as a box where HTML is shown and as text elsewhere."""

    lesson: str
    task: str
    heading: str
    lines: tuple[tuple[str, str], ...] = ()
    code: str = ""
    kind: str = ""

    def __bool__(self) -> bool:
        return self.kind == CORRECT

    def __str__(self) -> str:
        text = [self.heading]
        text += [f"  {label}: {content}" if label else f"  {content}" for label, content in self.lines]
        text += [f"    {line}".rstrip() for line in self.code.splitlines()]
        return "\n".join(text)

    __repr__ = __str__

    def as_html(self) -> str:
        escape = html.escape
        colour = COLOURS[self.kind]
        rows = "".join(
            f"<div>{f'<b>{escape(label)}:</b> ' if label else ''}{escape(content)}</div>"
            for label, content in self.lines
        )
        code = f"<pre style='margin:.5em 0 0'><code>{escape(self.code)}</code></pre>" if self.code else ""
        return (
            f"<div role='status' style='border-left:5px solid {colour};padding:.5em .8em;margin:.3em 0'>"
            f"<div><b>{escape(self.heading)}</b></div>{rows}{code}</div>"
        )

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return {
            "text/plain": str(self),
            "text/html": self.as_html(),
            MIME_TYPE: {"lesson": self.lesson, "task": self.task, "kind": self.kind},
        }
