"""What the learner sees: JupyterLab in a real browser, at home and behind a proxy's path."""

import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from helpers.cli.lab import CONFIGURATION
from tests.classroom.notebooks import good, write

CHROMIUM = next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None)
REQUIRED = os.environ.get("SERVELAB_REQUIRE_BROWSER")
pytestmark = pytest.mark.skipif(not CHROMIUM and not REQUIRED, reason="no Chromium on this machine")

# No background traffic: the course is offline, and so is this browser.
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
QUIET += ["--disable-background-networking", "--disable-component-update"]

TOKEN = "token-of-the-test"

MODEL = """from onnx import TensorProto, helper, save
from helpers.classroom import NetronView, lesson
from helpers.places import lab_home

x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 4]) for name in "xy")
path = lab_home() / "relu.onnx"
path.parent.mkdir(exist_ok=True)
save(helper.make_model(helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [x], [y])), path)
NetronView(path)"""
EXPLORER = """from helpers.classroom import Explorer, Table
Explorer("threads", {n: Table(["threads"], [[n]], f"measured with {n}") for n in ("one", "two", "four")})"""
PAD = """import numpy as np
from helpers.classroom import DigitPad

def predict(image):
    shares = np.zeros(10)
    shares[1 if image[0, 0, :, 3:5].sum() > 4 else 0] = 1  # is there ink in the middle, from top to bottom?
    return shares

DigitPad(predict, np.zeros((1, 1, 8, 8), np.float32))"""
PANEL = """import sys
from helpers.bench.server_process import ServerProcess
from helpers.classroom import ServerPanel
pages = [sys.executable, "-m", "http.server", "{port}", "--bind", "127.0.0.1"]
ServerPanel("pages", ServerProcess(pages, ready_path="/"))"""
CELLS = [MODEL, 'lesson("01").check("find_operator", "aten.sort.default")', 'lesson("01").hint("mend")']
CELLS += [
    'lesson("01").check("find_operator", "aten.median.dim")',
    'lesson("01").check("mend", ...)',
    EXPLORER,
    PAD,
    PANEL,
]


@dataclass(frozen=True)
class Jupyter:
    address: str
    base: str


@pytest.fixture(scope="module", params=["/", "/user/learner/"], ids=["at-home", "behind-a-proxy"])
def jupyter(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jupyter]:
    """The course's JupyterLab on a folder with one notebook."""
    folder = tmp_path_factory.mktemp("jupyter")
    write(folder, good(*CELLS))
    variables = {**os.environ, "JUPYTER_TOKEN": TOKEN, "JUPYTER_RUNTIME_DIR": str(folder / "runtime")}
    variables["JUPYTER_CONFIG_PATH"] = str(CONFIGURATION)
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--port=0"]
    command += [f"--ServerApp.root_dir={folder}", f"--ServerApp.base_url={request.param}"]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, env=variables, stdout=log, stderr=subprocess.STDOUT)
    try:
        yield Jupyter(address_of(server, folder / "runtime") + request.param, request.param)
    finally:
        server.terminate()
        server.wait(timeout=30)


def address_of(server: subprocess.Popen[bytes], runtime: Path) -> str:
    """Where the server listens, once it answers."""
    import json

    deadline = time.monotonic() + 60
    while True:
        try:
            found = json.loads((runtime / f"jpserver-{server.pid}.json").read_text())
            origin = f"http://127.0.0.1:{found['port']}"
            urllib.request.urlopen(f"{origin}{found['base_url']}api", timeout=5).close()
            return origin
        except (OSError, ValueError, urllib.error.URLError):
            if server.poll() is not None or time.monotonic() > deadline:
                raise


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    page = chromium.new_page(viewport={"width": 1280, "height": 1000})
    yield page
    page.close()


def output(page: Page, cell: int) -> Any:
    """All that a cell shows, with the line of a cell that takes long."""
    return page.locator(".jp-Notebook .jp-Cell").nth(cell).locator(".jp-Cell-outputArea")


def test_the_notebook_shows_what_it_should(jupyter: Jupyter, page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{jupyter.address}lab/tree/42_made.ipynb?token={TOKEN}")
    expect(page.locator(".jp-Notebook .jp-Cell")).to_have_count(len(CELLS) + 3, timeout=60_000)
    # Before the kernel is there, "run" is heard and forgotten.
    expect(page.get_by_text("Python 3 (ipykernel) | Idle")).to_be_visible(timeout=60_000)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_text("Run All Cells", exact=True).click()

    expect(output(page, 1)).to_contain_text("Ready: Python", timeout=60_000)
    frame = page.locator("iframe[title='Netron: the graph of relu.onnx']")
    expect(frame).to_be_visible(timeout=60_000)
    graph = frame.content_frame
    expect(graph.locator("svg").get_by_text("Relu", exact=True)).to_be_visible(timeout=60_000)
    expect(graph.get_by_text("Accept", exact=True)).not_to_be_visible()

    expect(output(page, 3)).to_contain_text("01 find_operator · not yet", timeout=60_000)
    expect(output(page, 4)).to_contain_text("01 mend · hint 1 of 3")
    expect(output(page, 5)).to_contain_text("01 find_operator · correct", timeout=60_000)
    expect(output(page, 6)).to_contain_text("01 mend · not attempted")

    explorer = output(page, 7)
    expect(explorer).to_contain_text("measured with one", timeout=60_000)
    slider = explorer.get_by_role("slider")
    slider.focus()
    slider.press("ArrowRight")
    expect(explorer).to_contain_text("measured with two", timeout=60_000)
    slider.press("End")
    expect(explorer).to_contain_text("measured with four", timeout=60_000)

    expect_digits_by_mouse_and_keys(page, output(page, 8))
    panel = output(page, 9)
    panel.get_by_role("button", name="Start").focus()
    page.keyboard.press("Enter")
    expect(panel.get_by_role("status")).to_contain_text("pages: ready at http://127.0.0.1", timeout=60_000)
    panel.get_by_role("button", name="Stop").click()
    expect(panel.get_by_role("status")).to_contain_text("pages: not running", timeout=60_000)

    expect(page.get_by_text("Would you like to get notified")).not_to_be_visible()
    origin = jupyter.address.removesuffix(jupyter.base)
    elsewhere = [url for url in asked if not url.startswith((jupyter.address, "data:", "blob:"))]
    assert not elsewhere, f"asked beyond {origin}{jupyter.base}: {elsewhere}"


def expect_digits_by_mouse_and_keys(page: Page, place: Any) -> None:
    """A line from top to bottom, once by mouse and once by keyboard, and the pad cleared between them."""
    canvas = place.get_by_role("application")
    expect(place).to_contain_text("Draw a digit", timeout=60_000)
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] - 20, steps=5)
    page.mouse.up()
    expect(place).to_contain_text("The model says: 1", timeout=30_000)
    place.get_by_role("button", name="Clear").click()
    expect(place).to_contain_text("Draw a digit", timeout=30_000)
    canvas.focus()
    page.keyboard.press(" ")
    for _ in range(12):
        page.keyboard.press("ArrowDown")
    expect(place).to_contain_text("Pen down, row 29")
    expect(place).to_contain_text("The model says: 1", timeout=30_000)
