"""Each rule of the notebooks, broken once."""

from pathlib import Path
from typing import Any

import pytest

from helpers.classroom.lint import READY_LINE, html_images_have_alt, lint
from tests.classroom.notebooks import CLOSING, OPENING, good, notebook, write

SOLVED = "# BEGIN SOLUTION a: x\ny = 1\n# END SOLUTION"


def with_outputs() -> dict[str, Any]:
    made = good("x = 1")
    made["cells"][2]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "x"}]
    return made


def with_twin_ids() -> dict[str, Any]:
    made = good("x = 1")
    made["cells"][2]["id"] = made["cells"][1]["id"]
    return made


BROKEN = {
    "has outputs": with_outputs(),
    "cells need ids": with_twin_ids(),
    "cells, and at most 40": good(*["x = 1"] * 40),
    "the first cell lacks **Minutes:**": notebook("md:# Title", READY_LINE, f"md:{CLOSING}"),
    "the second cell must be": notebook(f"md:{OPENING}", "x = 1", f"md:{CLOSING}"),
    "the last cell lacks ## Recap": notebook(f"md:{OPENING}", READY_LINE, "md:## The end"),
    "too short": notebook("md:# Title"),
    "skips a level": good("md:### Deep"),
    "a second title": good("md:# Again"),
    "is not ended": good("# BEGIN SOLUTION a: x\ny = 1"),
    "a solution's mark outside a solution": good(SOLVED),
    "a picture without alt text": good("md:![](x.png)"),
    "a picture without alt text: <img": good("md:<img src='x.png'>"),
    "an exclamation mark": good("md:Wow!"),
    "an emoji": good("md:Well done \N{PARTY POPPER}"),
    "an emoji or dingbat": good("print('\N{WHITE HEAVY CHECK MARK}')"),
    "a shell command": good("!pip install x"),
    "a shell command; the": good("%pip install x"),
    "a shell command; the env": good("%%bash\nls"),
    "a download": good("requests.get('https://example.org/model.onnx')"),
    "a download: the": good("resnet18(weights='DEFAULT')"),
    "a download: the course": good("fetch_openml('mnist')"),
    "time.sleep": good("import time\ntime.sleep(1)"),
    "an absolute path": good("open('/home/me/model.onnx')"),
    "31 lines, and 30": good("\n".join(["x = 1"] * 31)),
    "characters long": good("x = '" + "a" * 100 + "'"),
}

# What needs ray, which is in the extra ``scale`` alone.
RAY = ["import ray", "from ray import serve", "import os, ray.data as rows", "is_installed('ray')"]
RAY += [
    "text = '''\nimport asyncio\nfrom ray import serve\n'''",
    "importlib.util.find_spec('ray')",
    "if x:\n    import ray",
]


def announcing(command: str, *cells: str) -> dict[str, Any]:
    made = good(*cells)
    made["cells"][0]["source"] += f"\n\n**Optional:** `{command}` (3 minutes, 0.4 GB)"
    return made


@pytest.mark.parametrize("source", RAY)
def test_a_package_outside_the_course_is_announced_in_the_first_cell(source: str, tmp_path: Path) -> None:
    (found,) = lint(write(tmp_path, good(source)))
    assert "ray is not in the course's environment" in found
    assert lint(write(tmp_path, announcing("python3 -m helpers setup --extra peers", source))) != []
    assert lint(write(tmp_path, announcing("python3 -m helpers setup --extra scale", source))) == []
    assert lint(write(tmp_path, announcing("python -m pip install --no-deps ray==2.60.0", source))) == []


@pytest.mark.parametrize("said", ["", " (3 minutes)", " (0.4 GB)"])
def test_an_extra_is_announced_with_its_minutes_and_its_size(said: str, tmp_path: Path) -> None:
    made = announcing("python3 -m helpers setup --extra scale")
    made["cells"][0]["source"] += f" and `python3 -m helpers setup --extra peers`{said}"
    (found,) = lint(write(tmp_path, made))
    assert "names the extra 'peers' " in found and "without its minutes and its size" in found


@pytest.mark.parametrize(
    "source",
    [
        "import fastapi, openvino",
        "from torch import nn",
        "import os",
        "from helpers import store",
        "import my_own_module",
        "import lightgbm",
        "print('from ray to gray')",
    ],
)
def test_the_courses_packages_and_the_lessons_own_modules_need_no_announcement(source: str, tmp_path: Path) -> None:
    assert lint(write(tmp_path, good(source))) == []


@pytest.mark.parametrize("problem", BROKEN)
def test_a_broken_rule_is_named(problem: str, tmp_path: Path) -> None:
    found = lint(write(tmp_path, BROKEN[problem]))
    assert any(problem in line for line in found), found


def test_a_good_notebook_passes(tmp_path: Path) -> None:
    cells = [
        "md:## A part\n\nIt is `x != y`, and ![a curve that rises](x.png).\n\n```\nWow!\n# no heading\n```",
        "requests.get('http://127.0.0.1:3000/livez')\nx = a != b",
        "md:### A part of the part",
        "md:## Another",
    ]
    assert lint(write(tmp_path, good(*cells))) == []
    assert lint(write(tmp_path, good(SOLVED)), is_solution=True) == []


def test_what_a_cell_displays_needs_alt_text_too() -> None:
    assert list(html_images_have_alt("<div><img src='x'></div>"))
    assert list(html_images_have_alt("<img src='x' alt=''>"))
    assert not list(html_images_have_alt("<img src='x' alt='a curve'>"))
