"""Render the pictures of the page that the README shows, from the lake of the settings: docs/pictures/page*.png.

Needs playwright (in .venv) and chromium (Debian: apt-get install chromium).
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Literal

from playwright.sync_api import sync_playwright

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
# The README shows the one that the reader's own scheme asks for.
SCHEMES: dict[str, Literal["light", "dark"]] = {"page": "light", "page-dark": "dark"}
WIDTH, HEIGHT = 1280, 800


def main() -> None:
    """Start the page at a free port, and take its pictures."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("pictures: chromium is not installed; type: apt-get install chromium")
    command = [sys.executable, "-m", "consumer", "page", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as served:
        assert served.stderr is not None
        line = served.stderr.readline()
        address = re.search(r"http://[0-9.:]+", line)
        if address is None:
            sys.exit(f"pictures: the page did not start: {line}")
        try:
            take(chromium, address[0])
        finally:
            served.terminate()


def take(chromium: str, address: str) -> None:
    """Take the first page's picture in each scheme."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name, scheme in SCHEMES.items():
            page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme=scheme)
            page.goto(address)
            page.wait_for_load_state("networkidle")
            page.screenshot(path=str(PICTURES / f"{name}.png"))
            print(PICTURES / f"{name}.png")
        browser.close()


if __name__ == "__main__":
    main()
