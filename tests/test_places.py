"""Where data goes: by each system's convention, or where SERVELAB_HOME says, if that can be."""

from pathlib import Path

import pytest

from helpers import places
from helpers.cli import main
from helpers.errors import UserError

HOME = Path("/home/me")
CONVENTIONS = [
    ("linux", {}, HOME / ".local" / "share"),
    ("linux", {"XDG_DATA_HOME": "/data"}, Path("/data")),
    ("linux", {"XDG_DATA_HOME": "not/absolute"}, HOME / ".local" / "share"),
    ("darwin", {"XDG_DATA_HOME": "/data"}, HOME / "Library" / "Application Support"),
    ("win32", {"LOCALAPPDATA": "/local"}, Path("/local")),
    ("win32", {}, HOME / "AppData" / "Local"),
]


@pytest.mark.parametrize(("system", "variables", "expected"), CONVENTIONS)
def test_user_data(system: str, variables: dict[str, str], expected: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", lambda: HOME)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert places.user_data(system) == expected


def test_an_installed_package_keeps_nothing_beside_its_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SERVELAB_HOME")
    assert places.lab_home() == places.ROOT / ".lab"
    monkeypatch.setattr(places, "ROOT", tmp_path / "site-packages")
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "me")
    assert places.lab_home().is_relative_to(tmp_path / "me") and places.lab_home().name == "servelab"


@pytest.mark.parametrize("arguments", [["store", "list"], ["serve", "x"], ["status"]])
@pytest.mark.parametrize("home", ["a file", "below a file", "~no-such-user/lab"])
def test_a_home_that_cannot_be_is_one_sentence(
    home: str, arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    wanted = {"a file": str(tmp_path / "file"), "below a file": str(tmp_path / "file" / "lab")}.get(home, home)
    monkeypatch.setenv("SERVELAB_HOME", wanted)
    assert main(arguments) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 2 and wanted in said and "set " in said and "Traceback" not in said


def test_without_a_home_folder_there_is_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("SERVELAB_HOME")
    monkeypatch.setattr(places, "is_checkout", lambda: False)
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setattr(Path, "home", nowhere)
    with pytest.raises(UserError, match="no home folder") as refused:
        places.lab_home()
    assert "SERVELAB_HOME" in refused.value.remedy
