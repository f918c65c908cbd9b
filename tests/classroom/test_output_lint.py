"""What an executed notebook may not show: each mistake is planted in a notebook that is really run."""

from pathlib import Path
from typing import Any

import pytest

from helpers.classroom.executor import execute
from helpers.classroom.output_lint import lint_outputs
from tests.classroom.notebooks import good, write

PLANTED = {
    "writes to stderr: a warning": "import warnings; warnings.warn('a warning')",
    "writes to stderr: findfont": "import logging; logging.getLogger('fonts').warning('findfont: no such font')",
    "writes to stderr: from a child": "import os; _ = os.system('echo from a child >&2')",
    "writes to stderr: from a thread": (
        "import sys, threading\n"
        "t = threading.Thread(target=sys.stderr.write, args=['from a thread'])\nt.start(); t.join()"
    ),
    "a picture without alt text: <img": "from IPython.display import HTML; HTML('<img src=x>')",
    "a picture without alt text: use Picture": (
        "from IPython.display import display; display({'image/png': 'iVBORw0KGgo='}, raw=True)"
    ),
    "something is missing: 'Ray is not installed here": "print('Ray is not installed here.')",
    "something is missing: 'FastAPI": "print('FastAPI: get it with python3 -m helpers setup --extra peers')",
    "something is missing: '<b>Not installed": "from IPython.display import HTML; HTML('<b>Not installed</b>')",
    "something is missing: \"'not installed'": "'not installed'",
}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    path = write(tmp_path_factory.mktemp("planted"), good(*PLANTED.values(), "print('all is well')"))
    ran = execute(path)
    assert ran.failure is None, str(ran.failure)
    return lint_outputs(ran.notebook)


@pytest.mark.parametrize(("number", "problem"), list(enumerate(PLANTED)), ids=list(PLANTED))
def test_what_is_planted_is_found(number: int, problem: str, found: list[str]) -> None:
    cell = number + 2  # after the opening and the line that examines the machine
    (line,) = [line for line in found if line.startswith(f"cell {cell}: ")]
    assert all(part in line for part in problem.split(": ", 1)), line


def test_a_clean_cell_passes(found: list[str]) -> None:
    assert len(found) == len(PLANTED)


def shown(text: str, announced: str) -> dict[str, Any]:
    made = good("x = 1")
    made["cells"][0]["source"] += announced
    made["cells"][2]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": text}]
    return made


def test_an_extra_that_the_first_cell_announces_may_be_absent() -> None:
    text = "Ray is not installed here: python3 -m helpers setup --extra scale"
    assert lint_outputs(shown(text, "")) != []
    assert lint_outputs(shown(text, "`python3 -m helpers setup --extra generation`")) != []
    assert lint_outputs(shown(text, "`python3 -m helpers setup --extra scale`")) == []


def test_a_container_engine_may_be_absent() -> None:
    assert lint_outputs(shown("Not played here: podman is not installed.", "")) == []


def test_fonts_that_a_machine_lacks_are_no_news(tmp_path: Path) -> None:
    """A learner's own settings name a font that is not here, and the folder for matplotlib's cache cannot be made."""
    (tmp_path / "matplotlibrc").write_text("font.family: No Such Font\n")
    (tmp_path / "file").touch()
    variables = {"MATPLOTLIBRC": str(tmp_path / "matplotlibrc"), "MPLCONFIGDIR": str(tmp_path / "file" / "folder")}
    drawing = "import matplotlib.pyplot as plt\nfrom helpers.classroom import Picture\n"
    drawing += (
        "figure, place = plt.subplots()\nplace.set_title('1', weight='bold')\nPicture(figure, alt='An empty plot')"
    )
    ran = execute(write(tmp_path, good(drawing)), variables=variables)
    assert ran.failure is None, str(ran.failure)
    assert lint_outputs(ran.notebook) == []
