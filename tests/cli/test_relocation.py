"""Paths in the files of an environment that was moved: scripts are run, the rest is a table."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.cli import relocation

CHANGED = [
    ("/old/.venv/bin", "/old/.venv", "/new/.venv", "/new/.venv/bin"),
    ("/old/.venv2 /old/.venv-new /old/.venv", "/old/.venv", "/new", "/old/.venv2 /old/.venv-new /new"),
    ("/c/.venv", "/c/.venv", "/b/c/.venv", "/b/c/.venv"),
    ("/b/c/.venv and /c/.venv", "/c/.venv", "/b/c/.venv", "/b/c/.venv and /b/c/.venv"),
    ("/b/c/.venv", "/b/c/.venv", "/c/.venv", "/c/.venv"),
    (r"C:\old\.venv\x", r"C:\old\.venv", r"D:\n\1", r"D:\n\1\x"),
    ("nothing", "/old", "/new", "nothing"),
]


@pytest.mark.parametrize(("text", "old", "new", "expected"), CHANGED)
def test_a_path_takes_anothers_place_once(text: str, old: str, new: str, expected: str) -> None:
    once = relocation.changed(text.encode(), old.encode(), new.encode())
    assert once.decode() == expected
    assert relocation.changed(once, old.encode(), new.encode()) == once, "an interrupted repair is done again"


ODD = ["plain", "with spaces", "it's", 'a "quoted" one', "$HOME", "back`tick", "back\\slash", "n" * 130, "ü"]


@pytest.mark.skipif(os.name == "nt", reason="scripts of Unix")
@pytest.mark.parametrize("old", ["/old", "/old place", "/" + "o" * 130], ids=["short", "with a space", "long"])
@pytest.mark.parametrize("name", ODD)
def test_a_script_runs_by_the_interpreter_in_its_new_place(tmp_path: Path, name: str, old: str) -> None:
    home = tmp_path / name
    home.mkdir()
    (home / "python").symlink_to(sys.executable)
    script = tmp_path / "script"
    body = b"# -*- coding: utf-8 -*-\nimport sys\nprint(sys.argv[1:])\n"
    written = relocation.first_lines(os.fsencode(f"{old}/python")) + body
    for before, after in [(old, str(tmp_path / "elsewhere, $1")), (str(tmp_path / "elsewhere, $1"), str(home))]:
        written = relocation.new_script(written, os.fsencode(before), os.fsencode(after))
    assert written.endswith(body) and relocation.new_script(written, os.fsencode(old), os.fsencode(home)) == written
    script.write_bytes(written)
    script.chmod(0o755)
    ran = subprocess.run([script, "one", "two words"], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "['one', 'two words']"


OTHERS = {
    "another's script": b"#!/usr/bin/python3\n/old/.venv\n",
    "a shell script": b"#!/bin/sh\nexec /old/.venv/bin/python\n",
    "a library": b"\x7fELF\x00/old/.venv\x00",
    "nothing": b"",
    "a program of Windows without a script": b"MZ\x90\x00/old/.venv",
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_no_script_of_the_environment_stays_as_it_is(name: str) -> None:
    assert relocation.new_script(OTHERS[name], b"/old/.venv", b"/new/.venv") == OTHERS[name]


@pytest.mark.parametrize("old", [rb"C:\old\.venv", rb"C:\an old place\.venv"])
def test_a_launcher_of_windows_gets_the_new_path_and_keeps_its_archive(old: bytes) -> None:
    quote = b'"' if b" " in old else b""
    program = b"MZ\x90\x00 code " + old + b"\\never read\x00"
    archive = b"PK\x03\x04 __main__.py #!not a first line"
    first = b"#!" + quote + old + b"\\Scripts\\python.exe" + quote + b"\r\n"
    written = relocation.new_script(program + first + archive, old, rb"D:\a new place\.venv")
    assert written == program + rb'#!"D:\a new place\.venv\Scripts\python.exe"' + b"\r\n" + archive
