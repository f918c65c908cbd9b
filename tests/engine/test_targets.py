"""What a name on the command line means."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.engine.service import spec_of
from helpers.engine.targets import name_of, resolve
from helpers.errors import UserError

SERVICE = """
from helpers.engine import api, service

@service
class Digits:
    @api
    def classify(self) -> int:
        return 1

@service(name="others")
class _other(Digits):
    pass

class Plain: ...
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)
    (tmp_path / "t_app.py").write_text(SERVICE)
    (tmp_path / "t_package").mkdir()
    (tmp_path / "t_package" / "__init__.py").write_text("")
    (tmp_path / "t_package" / "inside.py").write_text(SERVICE)
    (tmp_path / "t_syntax.py").write_text("def")
    (tmp_path / "t_raises.py").write_text("1 / 0")
    (tmp_path / "t_needs.py").write_text("import t_not_installed.part")
    (tmp_path / "t_told.py").write_text("from helpers.errors import UserError\nraise UserError('No key.', 'set one.')")
    (tmp_path / "t_empty.py").write_text("")
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


TAGS = ["digits", "digits:2", "digits:latest", "digits:prod", "digits:v2", "digits:stage_2", "a.b-c:1.0", "t_app"]


@pytest.mark.parametrize("named", TAGS)
def test_a_tag_stays_a_tag(folder: Path, named: str) -> None:
    assert resolve(named, folder) == named == name_of(named)


@pytest.mark.parametrize(
    ("named", "called"),
    [("t_app:Digits", "Digits"), ("t_app:_other", "others"), ("t_package.inside:Digits", "Digits")],
)
def test_a_service_is_found_by_its_module(folder: Path, named: str, called: str) -> None:
    found = resolve(named, folder)
    assert spec_of(found) is not None and name_of(found) == called


@pytest.mark.parametrize(
    ("named", "said", "code"),
    [
        ("t_app:Missing", "t_app has no service Missing.*its services: Digits, _other", 2),
        ("t_app:Plain", "t_app has no service Plain", 2),
        ("t_app:classify", "t_app has no service classify", 2),
        ("t_empty:Digits", "t_empty has no service Digits.*mark a class with @service", 2),
        ("t_nowhere:Digits", "There is no module t_nowhere.*run this where t_nowhere.py lies", 2),
        ("t_package.nowhere:Digits", "There is no module t_package.nowhere.*t_package/nowhere.py", 2),
        ("t_nowhere.inside:Digits", "There is no module t_nowhere.inside", 2),
        ("t_needs:Digits", "t_needs needs t_not_installed, which is not installed", 1),
        ("t_syntax:Digits", "t_syntax cannot be imported: SyntaxError", 1),
        ("t_raises:Digits", "t_raises cannot be imported: ZeroDivisionError: division by zero", 1),
        ("t_told:Digits", "No key.*set one", 1),
        ("../t_app:Digits", "cannot be imported", 1),
        (":Digits", "cannot be imported", 1),
        (".t_app:Digits", "cannot be imported", 1),
    ],
)
def test_what_is_none_is_told_in_a_sentence(folder: Path, named: str, said: str, code: int) -> None:
    with pytest.raises(UserError, match=f"(?s){said}") as refused:
        resolve(named, folder)
    assert refused.value.exit_code == code
