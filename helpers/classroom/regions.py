"""Solution regions: what the learner writes, marked in the solution's code cells.

    def export(model, path):
        # BEGIN SOLUTION dynamic_batch: export `model` so that any batch size runs
        torch.onnx.export(...)
        # END SOLUTION

``dynamic_batch`` is the task that the region belongs to, and the rest says what
to write. In the exercise the region becomes that sentence and a ``...``.
"""

import ast
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

from helpers.classroom.notebook_file import Notebook, code_cells
from helpers.errors import UserError

BEGIN = re.compile(r"^(?P<indent>\s*)# BEGIN SOLUTION (?P<task>\w+): (?P<what>.+)$")
END = re.compile(r"^\s*# END SOLUTION$")
ANY_MARK = re.compile(r"#\s*(BEGIN|END)\s+SOLUTION", re.IGNORECASE)


@dataclass(frozen=True)
class Region:
    """One stretch of a solution: its task, what its stub says, and the code itself."""

    task: str
    what: str
    indent: str
    code: str

    def stub(self) -> str:
        """What stands in the exercise in place of the code."""
        wrapped = textwrap.wrap(f"YOUR CODE ({self.task}): {self.what}", 88 - len(self.indent))
        lines = [f"{self.indent}# {line}" for line in wrapped]
        # Code at the top of a cell leaves names behind that later cells use: keep them defined.
        names = _assigned_names(textwrap.dedent(self.code)) if not self.indent else []
        lines += [f"{self.indent}{name} = ..." for name in names] or [f"{self.indent}..."]
        return "\n".join(lines) + "\n"


def _assigned_names(code: str) -> list[str]:
    names: list[str] = []
    for statement in ast.parse(code).body:
        targets = statement.targets if isinstance(statement, ast.Assign) else []
        for target in targets:
            names += [node.id for node in ast.walk(target) if isinstance(node, ast.Name)]
    return list(dict.fromkeys(names))


def split(source: str) -> Iterator[str | Region]:
    """The cell as a sequence of given text and regions, in order."""
    given: list[str] = []
    inside: list[str] | None = None
    begin: re.Match[str] | None = None
    for number, line in enumerate(source.splitlines(keepends=True), start=1):
        starts, ends = BEGIN.match(line.rstrip("\n")), END.match(line.rstrip("\n"))
        if starts and inside is None:
            yield "".join(given)
            given, inside, begin = [], [], starts
        elif ends and inside is not None and begin is not None:
            yield Region(begin["task"], begin["what"], begin["indent"], "".join(inside))
            inside, begin = None, None
        elif ANY_MARK.search(line):
            raise UserError(
                f"Line {number} of a solution cell has a mark that does not fit: {line.strip()}",
                "write '# BEGIN SOLUTION task: what to write' and '# END SOLUTION', in pairs.",
            )
        else:
            (given if inside is None else inside).append(line)
    if inside is not None:
        raise UserError("A solution region is not ended.", "write '# END SOLUTION' after it.")
    yield "".join(given)


def regions(notebook: Notebook) -> Iterator[Region]:
    """All regions of a solution notebook."""
    for cell in code_cells(notebook):
        yield from (part for part in split(cell["source"]) if isinstance(part, Region))


def blank(source: str) -> str:
    """The cell as the learner gets it."""
    return "".join(part.stub() if isinstance(part, Region) else part for part in split(source)).rstrip("\n")


def solution_of(notebook: Notebook, task: str) -> str:
    """The code of a task's regions, as it is executed."""
    found = [textwrap.dedent(region.code).strip("\n") for region in regions(notebook) if region.task == task]
    if not found:
        raise UserError(f"The solution has no region for the task {task!r}.", "mark one in the notebook.")
    return "\n\n".join(found)
