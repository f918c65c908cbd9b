"""The API page in a real browser: forms that send and show, by mouse and by keyboard, and nothing from elsewhere."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Locator, Page, expect, sync_playwright

from helpers.serving import Server, serve
from tests.browser.test_in_browser import CHROMIUM, QUIET, REQUIRED
from tests.engine.served import store_with_two_versions
from tests.serving.test_schemathesis import Everything

pytestmark = pytest.mark.skipif(not CHROMIUM and not REQUIRED, reason="no Chromium on this machine")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("served")
    with serve(Everything, "net:prod", store=store_with_two_versions(folder)) as made:
        yield made


@pytest.fixture
def page(server: Server) -> Iterator[Page]:
    """The page; whatever it complains about, or asks another server for, fails the test."""
    wrong: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        page = browser.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda said: wrong.append(said.text) if "Content Security" in said.text else None)
        page.on("request", lambda asked: wrong.append(asked.url) if not is_own(asked.url, server.address) else None)
        page.goto(f"{server.address}/docs")
        yield page
        browser.close()
    assert wrong == []


def is_own(url: str, address: str) -> bool:
    return url.startswith(f"{address}/") or urlsplit(url).scheme in ("data", "blob")


def opened(page: Page, path: str) -> Locator:
    entry = page.locator("details", has=page.get_by_text(re.compile(f"^POST {path}$")))
    entry.locator("summary").click()
    return entry


def test_a_call_and_its_answer(page: Page) -> None:
    entry = opened(page, "/largest")
    entry.get_by_role("textbox").fill('{"rows": [[1, 5, 3]]}')
    entry.get_by_role("button", name="Send").click()
    answer = entry.get_by_role("status")
    expect(answer).to_contain_text("Status 200")
    expect(answer.get_by_role("region", name="Headers of the answer")).to_contain_text("x-request-id")
    expect(answer.get_by_role("region", name="Body of the answer")).to_have_text("[5.0]")
    entry.get_by_role("textbox").fill("{")
    entry.get_by_role("button", name="Send").click()
    expect(answer).to_contain_text("Status 400")
    expect(answer).to_contain_text("malformed")


def test_by_keyboard_alone(page: Page) -> None:
    page.locator("summary", has_text="/words").focus()
    page.keyboard.press("Enter")
    entry = page.locator("details[open]")
    entry.get_by_role("textbox").focus()
    page.keyboard.press("Control+A")
    page.keyboard.type('{"text": "one two"}')
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(entry.get_by_role("region", name="Body of the answer")).to_have_text("onetwo")


def test_a_picture_and_a_table(page: Page, tmp_path: Path) -> None:
    from PIL import Image

    Image.new("L", (4, 4), 200).save(tmp_path / "grey.png")
    entry = opened(page, "/darker")
    entry.get_by_label("Content type").select_option("image/png")
    entry.get_by_label("A file").locator("visible=true").set_input_files(tmp_path / "grey.png")
    entry.get_by_role("button", name="Send").click()
    expect(entry.get_by_role("img")).to_be_visible()
    entry = opened(page, "/price")
    entry.get_by_label("Content type").select_option("text/csv")
    entry.get_by_role("button", name="Send").click()
    expect(entry.get_by_role("status").get_by_role("region", name="Body of the answer")).to_contain_text("price")


def test_a_task_by_its_path(page: Page) -> None:
    entry = page.locator("details", has=page.get_by_text(re.compile(r"^GET /tasks/\{task\}$")))
    entry.locator("summary").click()
    entry.get_by_label("task").fill("../livez")  # stays one part of the path
    entry.get_by_role("button", name="Send").click()
    expect(entry.get_by_role("status")).to_contain_text("Status 404")
