"""``lab``: the port it was given, and the page it opens."""

import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from helpers.cli import main
from helpers.places import ROOT


def test_a_taken_port_is_refused_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["lab", "--no-browser", "--port", str(port)]) == 1
    assert f"Port {port} is taken" in capsys.readouterr().err


def test_lab_serves_the_course_until_it_is_ended() -> None:
    command = [sys.executable, "-m", "helpers", "lab", "--no-browser", "--port", "0"]
    lab = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert lab.stdout is not None
    try:
        address = next(found for line in lab.stdout if (found := re.search(r"http://127\S+token=\S+", line)))[0]
        assert "/lab/tree/notebooks/" in address
        text = fetch(address)
        assert "JupyterLab" in text
        assert re.search(r"disabledExtensions.*apputils-extension:announcements", text, re.DOTALL), "it asks for news"
    finally:
        lab.terminate()
        output, _ = lab.communicate(timeout=30)
    assert lab.returncode == 0 and "Shutting down" in output, output


def fetch(address: str) -> str:
    """The page; Jupyter prints its address a moment before it listens there."""
    deadline = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(address) as page:
                return str(page.read().decode())
        except urllib.error.URLError:
            if time.monotonic() > deadline:
                raise
