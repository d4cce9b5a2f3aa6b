"""A real Chromium on the playground, and what a test may ask of it."""

from __future__ import annotations

import base64
import io
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, Page, Request, expect, sync_playwright

from tests.support.gateway_process import PATIENCE_SECONDS, wait_until
from tests.support.pages import ROOT

_AXE = ROOT / "web" / "node_modules" / "axe-core" / "axe.min.js"
WIDE = (1280, 800)
NARROW = (390, 844)

expect.set_options(timeout=PATIENCE_SECONDS * 1e3)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser, without windows."""
    executable = shutil.which("chromium")
    assert executable, "make environments installs it"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield browser
        browser.close()


def barriers(page: Page) -> list[tuple[str, list[str]]]:
    """What axe finds on a page that keeps people out: each rule with up to three places."""
    page.evaluate(_AXE.read_text())
    found = page.evaluate("axe.run().then(found => found.violations)")
    return [(each["id"], [node["html"] for node in each["nodes"]][:3]) for each in found]


class Playground:
    """One tab with the playground in it.

    Args:
        page: The tab.
        url: Of the gateway's HTTP port.
    """

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.complaints: list[str] = []
        page.set_default_timeout(PATIENCE_SECONDS * 1e3)
        page.on("console", lambda message: self._said(message.type, message.text))
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on("request", self._asked)

    def open(self, fragment: str = "") -> None:
        """Open the page, and wait for its first image."""
        self.page.goto(f"{self.url}/{fragment}")
        self.wait_until_live()

    def wait_until_live(self) -> None:
        """Wait until the image shows what is drawn."""
        expect(self.page.get_by_test_id("status")).to_have_text("Live")
        expect(self.page.locator(".result .frame.empty")).to_have_count(0)

    def choose_tab(self, name: str) -> None:
        """Go to a tab of the page, by its name."""
        self.page.get_by_role("tab", name=name, exact=True).click()
        self.wait_until_live()

    def choose(self, class_title: str) -> None:
        """Take the ink of a class."""
        self.page.get_by_role("radio", name=class_title, exact=True).check()

    def stroke(self, *points: tuple[float, float], steps: int = 8) -> None:
        """Draw with the mouse through points, 0 to 1 each way, and wait for the image."""
        self.drag(*points, steps=steps)
        self.wait_until_live()

    def drag(self, *points: tuple[float, float], steps: int = 8) -> None:
        """Draw with the mouse through points, 0 to 1 each way."""
        box = self.page.locator(".surface").bounding_box()
        assert box
        places = [(box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in points]
        mouse = self.page.mouse
        mouse.move(*places[0])
        mouse.down()
        for place in places[1:]:
            mouse.move(*place, steps=steps)
        mouse.up()

    def pixels(self, canvas: str = "result") -> NDArray[np.int16]:
        """What a canvas shows: `result` or `drawing`, int16 [height, width, 3]."""
        url = self.page.get_by_test_id(canvas).evaluate("canvas => canvas.toDataURL()")
        file = io.BytesIO(base64.b64decode(url.partition(",")[2]))
        return np.asarray(Image.open(file).convert("RGB")).astype(np.int16)

    def wait_until_shown(self, pixels: NDArray[np.int16]) -> None:
        """Wait until the image is this one."""
        wait_until(
            lambda: np.array_equal(self.pixels(), pixels),
            lambda: f"another image is shown: {np.abs(self.pixels() - pixels).max()} levels apart",
        )

    def press(self, title: str) -> None:
        """Press a button, by its name."""
        self.page.get_by_role("button", name=title, exact=True).click()

    def _said(self, kind: str, text: str) -> None:
        # A gateway that is away or not ready yet is no fault of the page, and the browser says so by itself.
        away = "net::ERR_" in text or "a status of 503" in text or "response code: 503" in text
        if kind in ("error", "warning") and not away:
            self.complaints.append(f"{kind}: {text}")

    def _asked(self, request: Request) -> None:
        if not request.url.startswith((self.url, "blob:", "data:")):
            self.complaints.append(f"asked elsewhere: {request.url}")


@contextmanager
def playground(
    browser: Browser, url: str, size: tuple[int, int] = WIDE, **options: Any
) -> Iterator[Playground]:
    """A tab in a profile of its own; at its end nothing may have been complained of or asked elsewhere."""
    context = browser.new_context(viewport={"width": size[0], "height": size[1]}, **options)
    tab = Playground(context.new_page(), url)
    try:
        yield tab
        assert not tab.complaints, tab.complaints
    finally:
        context.close()
