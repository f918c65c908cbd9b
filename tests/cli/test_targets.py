"""Paths where a name is needed: refused with the command that does it."""

import re
from pathlib import Path

import pytest

from helpers.cli import main
from helpers.store import Store
from tests.store.models import multiply_by

SHOP = """
from helpers.engine import api, service

@service
class Digits:
    @api
    def one(self) -> int:
        return 1
"""
ADD = "python3 -m helpers store add digits"

CASES = [
    ("digits.onnx", "digits.onnx is a file", f"{ADD} digits.onnx, then: python3 -m helpers COMMAND digits$"),
    ("./models/digits.onnx", "is a file", rf"{ADD} ./models/digits.onnx, then: python3 -m helpers COMMAND digits$"),
    ("models/My Digits.onnx", "the name of a file", "store add my-digits 'models/My Digits.onnx'"),
    ("DIGITS.ONNX", "the name of a file", f"{ADD} DIGITS.ONNX"),
    ("shop.py", "shop.py is a file", r"python3 -m helpers COMMAND shop:Digits$"),
    ("./shop.py", "is a file", r"python3 -m helpers COMMAND shop:Digits$"),
    ("shop.py:Digits", "shop.py:Digits is a file", r"python3 -m helpers COMMAND shop:Digits$"),
    ("deep/shop.py", "is a file", r"python3 -m helpers COMMAND deep.shop:Digits$"),
    ("../here/shop.py", "is a file", r"cd ../here && python3 -m helpers COMMAND shop:Digits$"),
    ("empty.py", "is a file", "mark a class in it with @service; then: .*empty:Service"),
    ("missing.py", "the name of a file", "check its name; then: .*missing:Service"),
    ("lesson.ipynb", "the name of a file", "into a .py file, or serve it in the notebook"),
    ("model.pkl", "is a file", r"export it to ONNX first .*store add model model.onnx"),
    ("model.keras", "the name of a file", r"export it to ONNX first"),
    ("models/net.joblib", "the name of a file", r"export it to ONNX first"),
    ("models", "models is a folder", f"{ADD} models/digits.onnx"),
    ("./models/", "is a folder", f"{ADD} models/digits.onnx"),
    ("package", "is a folder", r"python3 -m helpers COMMAND package:Digits$"),
    ("saved", "is a folder", "keep it in the store: python3 -m helpers store add saved saved$"),
    ("packed", "is a folder", "start it: python packed/run.py"),
    ("other", "is a folder", "module:Service, or a model: python3 -m helpers store list"),
    ("no/such/place", "is a path", "module:Service, or a model"),
]


@pytest.fixture
def folder(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    here = tmp_path / "here"
    for name in ("models", "package", "saved", "packed", "other", "deep"):
        (here / name).mkdir(parents=True)
    for name in ("digits.onnx", "models/digits.onnx"):
        (here / name).write_bytes(multiply_by(2))
    for name in ("shop.py", "deep/shop.py", "package/__init__.py"):
        (here / name).write_text(SHOP)
    for name in ("empty.py", "saved/saved_model.pb", "packed/bundle.json", "model.pkl"):
        (here / name).touch()
    monkeypatch.chdir(here)
    return here


@pytest.mark.parametrize("command", ["serve", "bundle", "score"])
@pytest.mark.parametrize(("target", "sentence", "remedy"), CASES, ids=[case[0] for case in CASES])
def test_a_path_is_refused_with_the_command_to_use(
    folder: Path, capsys: pytest.CaptureFixture[str], command: str, target: str, sentence: str, remedy: str
) -> None:
    more = {"serve": ["--port", "0"], "bundle": [], "score": ["rows.csv", "--into", "out.csv"]}[command]
    assert main([command, target, *more]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert sentence in first
    assert re.search(remedy.replace("COMMAND", command), second.removeprefix("  Remedy: ")), second


def test_a_model_may_be_called_like_a_file_or_a_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("digits.onnx", "models"):
        Store().save(name, multiply_by(3))
        assert main(["bundle", f"{name}:7"]) == 2
        assert f"{name} has no version '7'" in capsys.readouterr().err
