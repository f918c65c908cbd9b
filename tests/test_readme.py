"""The README promises what is true today."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from helpers.classroom.lessons import all_lessons
from helpers.cli import COMMANDS
from helpers.places import ROOT
from helpers.store import Store

README = (ROOT / "README.md").read_text("utf-8")
ROWS = {match[1]: match[0] for match in re.finditer(r"^\| (\d\d) \|.*$", README, re.MULTILINE)}


def test_the_map_shows_every_lesson_with_its_minutes() -> None:
    there = {found.number: found for found in all_lessons()}
    assert there.keys() <= ROWS.keys()
    for number, row in ROWS.items():
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        if number in there:
            found = there[number]
            assert cells[1] == f"[{found.title}](notebooks/{found.lecture.name})"
            stated = [found.minutes.get("lecture"), found.minutes.get("exercise")]
            assert cells[3:] == [f"{minutes} min" if minutes else "" for minutes in stated]
        else:
            assert cells[3:] == ["to come", ""], f"lesson {number} does not exist yet"


def test_commands_files_and_rooms_exist() -> None:
    assert set(re.findall(r"python3 -m helpers (\w+)", README)) <= set(COMMANDS)
    for link in re.findall(r"\]\(([\w./-]+)\)", README):
        assert (ROOT / link).exists(), link
    rooms = set(re.findall(r"^\| `helpers/(\w+)` \|", README, re.MULTILINE))
    assert rooms == {path.parent.name for path in (ROOT / "helpers").glob("*/__init__.py")}


def test_pictures_are_small_and_have_alt_text() -> None:
    for alt, picture in re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", README):
        assert len(alt) > 20
        assert (ROOT / picture).stat().st_size < 100_000


def test_the_code_runs(tmp_path: Path) -> None:
    """Blocks that begin with a file's name are modules; the others are programs that use them."""
    blocks = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    modules = {found[1]: block for block in blocks if (found := re.match(r"# (\w+\.py)\n", block))}
    assert set(modules) == {"shop.py", "report.py"}
    for name, block in modules.items():
        (tmp_path / name).write_text(block, "utf-8")
    save_digits(Store(tmp_path / "lab" / "store"))
    (program,) = (block for block in blocks if block not in modules.values())
    images = "import numpy as np\nimages = np.arange(128, dtype=np.float32).reshape(2, 1, 8, 8)\n"
    known = {**os.environ, "PYTHONPATH": str(ROOT), "SERVELAB_HOME": str(tmp_path / "lab")}
    (tmp_path / "program.py").write_text(images + program, "utf-8")
    command = [sys.executable, "program.py"]
    ran = subprocess.run(command, cwd=tmp_path, env=known, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines() == ["[9, 9]", "['one', 'by', 'one']", "page 3"]


def save_digits(store: Store) -> None:
    """A model with the digits' form, whose scores grow with their number."""
    flat = onnx.numpy_helper.from_array(np.array([-1, 64], np.int64), "flat")
    weights = onnx.numpy_helper.from_array(np.tile(np.arange(10, dtype=np.float32), (64, 1)), "w")
    graph = helper.make_graph(
        [
            helper.make_node("Reshape", ["images", "flat"], ["rows"]),
            helper.make_node("MatMul", ["rows", "w"], ["scores"]),
        ],
        "digits",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 1, 8, 8])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 10])],
        [flat, weights],
    )
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)])
    store.save("digits", model.SerializeToString())
