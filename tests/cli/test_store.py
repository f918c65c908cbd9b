"""``store``: what a person sees."""

import json
from pathlib import Path

import pytest

from helpers.cli import main
from tests.store.models import multiply_by


@pytest.fixture
def file(tmp_path: Path, home: Path) -> str:
    path = tmp_path / "net.onnx"
    path.write_bytes(multiply_by(2))
    return str(path)


def said(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    assert main(["store", *arguments]) == code
    shown = capsys.readouterr()
    return shown.err if code else shown.out


def test_from_file_to_version_and_back(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "The store is empty" in said(capsys, "list")
    added = said(capsys, "add", "net", file, "--label", "stage=trial", "--alias", "prod")
    assert added.startswith("Saved net:1: onnx") and "__call__ takes x: float32 (batch, 3)" in added
    said(capsys, "add", "net", file, "--version", "spare")
    lines = said(capsys, "list").splitlines()
    assert lines[2].startswith("net:spare") and lines[3].startswith("net:1") and "stage=trial" in lines[3]
    assert said(capsys, "list", "net", "--label", "stage=trial").count("net:") == 1
    assert "Nothing fits" in said(capsys, "list", "--label", "stage=prod")
    assert json.loads(said(capsys, "show", "net:prod"))["aliases"] == ["prod"]
    assert said(capsys, "alias", "net:spare", "prod") == "net:prod means net:spare now.\n"
    assert said(capsys, "remove", "net:1") == "Removed net:1.\n"


def test_a_damaged_version_is_pointed_at(file: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said(capsys, "add", "net", file)
    (home / "store" / "net" / "1" / "model.json").write_text("{", "utf-8")
    assert "net:1 is damaged and cannot be read: python3 -m helpers store remove net:1" in said(capsys, "list")
    assert said(capsys, "remove", "net:1") == "Removed net:1.\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "arguments are required: WHAT"),
        (["add", "net", "no-such.onnx"], "There is no file no-such.onnx"),
        (["add", "../net", "FILE"], "'../net' is no name for a model"),
        (["add", "net", "FILE", "--label", "stage"], "'stage' is no label"),
        (["show", "net"], "There is no model called 'net'"),
        (["remove", "net"], "Which version of net?"),
        (["alias", "net:1", "latest"], "There is no model called 'net'"),
    ],
)
def test_mistakes_are_told(arguments: list[str], sentence: str, file: str, capsys: pytest.CaptureFixture[str]) -> None:
    filled = [file if argument == "FILE" else argument for argument in arguments]
    assert sentence in said(capsys, *filled, code=2)
