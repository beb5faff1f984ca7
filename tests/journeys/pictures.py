"""``python -m tests.journeys.pictures STATE PASSWORD``: the README's pictures, taken from a demo that keeps running.

Start ``make demo KEEP=1``, then give this its state folder and the password that it printed. Writes
docs/pictures/*.png with Debian's chromium.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent.parent
PICTURES = ROOT / "docs" / "pictures"
CHROMIUM = "/usr/bin/chromium"
FLAGS = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync")


def main(state: Path, password: str) -> None:
    """Take every picture."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    address = json.loads((state / "server" / "server.json").read_text(encoding="utf-8"))["http"]
    server = f"http://{address['host']}:{address['port']}"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        page = browser.new_page(viewport={"width": 1280, "height": 860})
        sign_in(page, server, password)
        page.goto(f"{server}/rollouts")
        page.locator("main table a").first.click()
        page.wait_for_timeout(800)
        page.screenshot(path=PICTURES / "console-rollout.png")
        shoot(page, f"{server}/devices/pi-2", "console-device.png")
        shoot(page, (state / "reports" / "raspberry-pi-4.html").resolve().as_uri(), "report.png")
        browser.close()


def sign_in(page: Page, server: str, password: str) -> None:
    """Sign in as the demo's admin."""
    page.goto(f"{server}/login")
    page.fill("input[name=name]", "admin")
    page.fill("input[name=password]", password)
    page.click("button.primary")
    page.wait_for_timeout(800)


def shoot(page: Page, address: str, name: str) -> None:
    """Open the page and save what it looks like."""
    page.goto(address)
    page.wait_for_timeout(800)
    page.screenshot(path=PICTURES / name)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
