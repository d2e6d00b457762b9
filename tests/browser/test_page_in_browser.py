"""The page in a real browser: clicks, chips, back and forward, zoom, without JavaScript, hostile strings, accessibility.

Skipped where there is no chromium (Debian: ``apt-get install chromium``). Each test also fails on any message of the console.
"""

import hashlib
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, urlparse

import pytest

from consumer.batch import refresh
from lakehouse.settings import unpack_settings
from tests.requests import NOON, append, request
from tests.unit.test_page import HOSTILE

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
ROOT = Path(__file__).parents[2]
AXE = Path(__file__).with_name("axe.min.js")
FOLDERS = (ROOT / "consumer/page/static", Path(__file__).parent)
in_browser = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
PAGES = ("/", "/requests", "/pipeline", "/panels/pages", "/?compare=previous&from=2024-05-18&to=2024-05-19")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the page of a small lake is: three days of requests, and one of each hostile string in every field."""
    folder = tmp_path_factory.mktemp("browser")
    paths = {"data_lake": str(folder / "lake"), "log": str(folder / "log")}
    settings = unpack_settings({"paths": paths}, "test")
    texts = ("path", "ip", "agent", "referer", "method", "site", "browser", "os", "device")
    hostile = [request(**dict.fromkeys(texts, text), timestamp=NOON) for text in HOSTILE]
    usual = [
        request(
            path=f"/page{n % 5}", site="a.example", ip=f"192.0.2.{n % 9}", status=404 if n % 10 == 0 else 200, agent="Firefox",
            browser="Firefox", referer="https://search.example/", timestamp=NOON + timedelta(hours=n),
        )
        for n in range(60)
    ]  # fmt: skip
    append(settings.lake, [*hostile, *usual])
    refresh(settings)
    environment = os.environ | {"PIPELINE_PATHS__DATA_LAKE": paths["data_lake"], "PIPELINE_PATHS__LOG": paths["log"]}
    command = [sys.executable, "-m", "consumer", "page", "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as served:
        assert served.stderr is not None
        said = re.search(r"http://\S+", served.stderr.readline())
        assert said is not None
        yield said[0].rstrip("/")
        served.terminate()
        assert served.stderr.read().count("\n") == 1  # "stopped", and nothing else
        assert served.wait(30) == 0


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


def opened(browser: "Browser", complaints: list[str], **options: Any) -> "BrowserContext":
    """A browser's window that keeps what the console and dialogs say."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, **options)
    context.on("console", lambda message: complaints.append(message.text))
    context.on("weberror", lambda error: complaints.append(str(error.error)))
    context.on("dialog", lambda dialog: complaints.append(dialog.message))
    context.on("request", lambda sent: None if sent.url.startswith("http://127.0.0.1") else complaints.append(sent.url))
    return context


@pytest.fixture
def page(browser: "Browser") -> "Iterator[Page]":
    complaints: list[str] = []
    with opened(browser, complaints) as context:
        yield context.new_page()
        assert complaints == []


def asked(page: "Page") -> dict[str, list[str]]:
    return parse_qs(urlparse(page.url).query)


def figure(page: "Page", title: str = "Requests") -> str:
    return str(
        page.locator(".tile", has=page.get_by_role("heading", name=title, exact=True)).locator(".figure").inner_text()
    )


@in_browser
def test_a_value_filters_by_a_click_and_a_chip_undoes_it(page: "Page", address: str) -> None:
    page.goto(f"{address}/?site=a.example")
    assert figure(page) == "60"
    page.locator("#pages").get_by_role("link", name="/page1", exact=True).click()
    assert asked(page) == {"range": ["all"], "site": ["a.example"], "path": ["/page1"]}
    assert figure(page) == "12"
    page.go_back()
    assert figure(page) == "60"
    page.go_forward()
    assert figure(page) == "12"
    page.get_by_role("link", name="path /page1").click()
    assert figure(page) == "60"


@in_browser
@pytest.mark.parametrize("has_javascript", [True, False])
def test_filters_work_with_and_without_javascript(browser: "Browser", address: str, has_javascript: bool) -> None:
    complaints: list[str] = []
    with opened(browser, complaints, java_script_enabled=has_javascript) as context:
        page = context.new_page()
        page.goto(f"{address}/?site=a.example")
        page.get_by_label("From").fill("2024-05-18")
        page.get_by_label("To", exact=True).fill("2024-05-18")
        page.get_by_label("Compare").select_option("previous")
        page.get_by_role("button", name="Apply").click()
        assert asked(page) == {
            "from": ["2024-05-18"],
            "to": ["2024-05-18"],
            "site": ["a.example"],
            "compare": ["previous"],
        }
        assert figure(page) == "24"
        assert "against 12" in page.locator(".tile").first.inner_text()
        page.locator("#statuses").get_by_role("link", name="404", exact=True).click()
        assert figure(page) == "2"
        page.get_by_role("navigation", name="Pages").get_by_role("link", name="Requests").click()
        assert page.locator("tbody tr td:nth-child(6)").all_inner_texts() == ["404", "404"]
    assert complaints == []


@in_browser
def test_drawing_over_the_chart_zooms_into_these_days(page: "Page", address: str) -> None:
    page.goto(f"{address}/?site=a.example&by=day")
    plot = page.locator(".u-over")
    plot.wait_for()
    box = plot.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 60, steps=5)
    with page.expect_navigation():
        page.mouse.up()
    assert asked(page)["from"][0] <= asked(page)["to"][0]
    assert {"from", "to", "site"} <= set(asked(page))


@in_browser
def test_a_bar_leads_to_its_day_without_javascript(browser: "Browser", address: str) -> None:
    complaints: list[str] = []
    with opened(browser, complaints, java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(f"{address}/?site=a.example")
        page.locator(".plot a").first.click()
        assert asked(page) == {"from": ["2024-05-17"], "to": ["2024-05-17"], "site": ["a.example"]}
        assert figure(page) == "12"


@in_browser
@pytest.mark.parametrize("where", [*PAGES, "/panels/agents", "/panels/referers", "/panels/ips", "/panels/sites"])
def test_hostile_strings_raise_neither_dialog_nor_console_message(page: "Page", address: str, where: str) -> None:
    page.goto(address + where)
    page.wait_for_load_state("networkidle")
    assert page.locator("img, iframe, script:not([src])").count() == 0


@in_browser
def test_an_export_is_a_file_of_the_lists_name(page: "Page", address: str) -> None:
    page.goto(address)
    with page.expect_download() as download:
        page.get_by_role("link", name="Pages as CSV").click()
    assert download.value.suggested_filename == "pages.csv"
    assert download.value.path().read_text().startswith("path,requests,share,bytes")


@in_browser
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_axe_finds_nothing_serious_and_nothing_is_cut_off(
    browser: "Browser", address: str, scheme: Any, width: int
) -> None:
    complaints: list[str] = []
    with opened(browser, complaints, color_scheme=scheme) as context:
        page = context.new_page()
        page.set_viewport_size({"width": width, "height": 800})
        for where in PAGES:
            page.goto(address + where)
            page.wait_for_load_state("networkidle")
            page.evaluate(AXE.read_text(encoding="utf-8"))
            found = page.evaluate("axe.run()")["violations"]
            serious = [
                (v["id"], [node["html"][:200] for node in v["nodes"][:3]])
                for v in found
                if v["impact"] in ("serious", "critical")
            ]
            assert serious == [], where
            assert page.evaluate("document.documentElement.scrollWidth") <= width, where
    assert complaints == []


IN_PRINT = """() => {
  const seen = (element) => element.checkVisibility() && element.getClientRects().length > 0 && !element.closest(".hidden");
  const said = (element) => element.tagName + ": " + element.textContent.trim().slice(0, 60);
  const every = [...document.querySelectorAll("body *")].filter(seen);
  const isCut = (e) => (getComputedStyle(e).overflow !== "visible" && (e.scrollWidth > e.clientWidth + 1 || e.scrollHeight > e.clientHeight + 1));
  return {
    controls: every.filter((e) => e.matches("form, input, select, button, summary, nav")).map(said),
    cut: every.filter((e) => !(e instanceof SVGElement) && (isCut(e) || e.getBoundingClientRect().right > (e.parentElement.closest(".card, .chart, .tiles") ?? document.documentElement).getBoundingClientRect().right)).map(said),
    hidden: [...document.querySelectorAll("section.card, section.chart, section.tiles, .card table")].filter((e) => !seen(e)).map(said),
    background: getComputedStyle(document.body).backgroundColor,
  };
}"""


@in_browser
@pytest.mark.parametrize("where", PAGES)
def test_print_has_every_panel_whole_and_no_controls(browser: "Browser", address: str, where: str) -> None:
    complaints: list[str] = []
    with opened(browser, complaints, color_scheme="dark") as context:
        page = context.new_page()
        page.emulate_media(media="print")
        for width in (718, 1047):  # A4 between margins of 1 cm, upright and across
            page.set_viewport_size({"width": width, "height": 1000})
            page.goto(address + where)
            page.wait_for_load_state("networkidle")
            found = page.evaluate(IN_PRINT)
            assert found == {"controls": [], "cut": [], "hidden": [], "background": "rgb(255, 255, 255)"}, (
                where,
                width,
            )
            if page.locator("#plot").count():
                assert page.locator("#plot svg").is_visible()
                assert not page.locator("#plot .uplot").is_visible()
    assert complaints == []


@in_browser
@pytest.mark.parametrize("has_javascript", [True, False])
def test_a_click_on_the_head_of_a_column_sorts_by_it(browser: "Browser", address: str, has_javascript: bool) -> None:
    complaints: list[str] = []
    with opened(browser, complaints, java_script_enabled=has_javascript) as context:
        page = context.new_page()
        page.goto(f"{address}/?site=a.example")
        page.locator("#ips").get_by_role("link", name="Last seen").click()
        assert asked(page) == {"range": ["all"], "site": ["a.example"], "sort": ["-last_seen"]}
        head = page.get_by_role("columnheader", name="Last seen")
        assert head.get_attribute("aria-sort") == "descending"
        latest_first = page.locator("tbody tr td:last-child").all_inner_texts()
        head.get_by_role("link").click()
        assert page.get_by_role("columnheader", name="Last seen").get_attribute("aria-sort") == "ascending"
        assert page.locator("tbody tr td:last-child").all_inner_texts() == latest_first[::-1]
        page.get_by_role("link", name="192.0.2.3").click()
        assert asked(page) == {"range": ["all"], "site": ["a.example"], "ip": ["192.0.2.3"]}
    assert complaints == []


@in_browser
def test_the_chart_draws_the_days_compared_with(page: "Page", address: str) -> None:
    page.goto(f"{address}/?site=a.example&from=2024-05-18&to=2024-05-19&by=day&compare=previous")
    page.locator(".u-over").wait_for()
    assert "Requests before" in page.locator(".u-legend").inner_text()
    assert page.locator("polyline.before").count() == 1
    page.get_by_text("The same figures as a table").click()
    assert page.locator("#over_time thead").inner_text().strip().split("\t")[-2:] == [
        "Requests before",
        "Visitors before",
    ]


def test_the_longest_value_of_a_filter_is_answered(address: str) -> None:
    """With each character in twelve, as a browser sends it, and in pieces, as a network brings it."""
    place = urlparse(address)
    lines = (
        f"GET /?path={quote('/' + 4095 * '😀')} HTTP/1.1\r\nHost: {place.netloc}\r\nConnection: close\r\n\r\n".encode()
    )
    with socket.create_connection((str(place.hostname), int(place.port or 0))) as sent:
        for at in range(0, len(lines), 20_000):
            sent.sendall(lines[at : at + 20_000])
            time.sleep(0.2)
        assert sent.makefile("rb").readline() == b"HTTP/1.1 200 OK\r\n"


def test_vendored_files_are_those_that_were_looked_at() -> None:
    for folder in FOLDERS:
        listed = re.findall(r"^\| `(\S+)` .* `([0-9a-f]{64})` \|$", (folder / "VENDORED.md").read_text(), re.MULTILINE)
        assert listed
        for name, expected in listed:
            assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == expected, name
