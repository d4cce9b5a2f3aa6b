"""The site of the documentation: whole, strict, by itself, and fit to be read on a phone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

import maskweave_client
from maskweave.v1 import synthesis_pb2 as pb
from tests.support.browser import NARROW, WIDE, barriers, chromium
from tests.support.docs_site import ROOT, build_site, served

READ = (
    "",
    "tutorial/first-image/",
    "concepts/",
    "howto/proxy/",
    "settings/",
    "reference/contract/",
    "quality/",
    "commands/",
    "errors/",
)
"""Pages that are looked at in a browser."""

SEARCHED = ("", "tutorial/first-image/", "commands/", "errors/")
"""Pages that axe searches, for seconds each: between them, all that pages are made of."""

PARTS = Path("figures")
"""What pages lead to or are made of, and the navigation does not lead to."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs") / "site"
    done = build_site(folder)
    assert done.returncode == 0, done.stdout
    assert not done.stdout, done.stdout
    return folder


@pytest.fixture(scope="module")
def url(site: Path) -> Iterator[str]:
    with served(site) as url:
        yield url


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


def text_of(site: Path, page: str) -> str:
    return (site / page / "index.html").read_text()


def test_every_page_is_in_the_navigation(site: Path) -> None:
    home = text_of(site, "")
    navigation = home[home.index("md-sidebar--primary") : home.index("md-sidebar--secondary")]
    linked = set(re.findall(r'href="([^"#]+)"', navigation))
    for file in (ROOT / "docs").rglob("*.md"):
        page = file.relative_to(ROOT / "docs").with_suffix("")
        address = f"{page.parent if page.name == 'README' else page}/"
        assert address in linked or PARTS in page.parents or address == "./", page


def test_no_page_asks_another_host_for_anything(site: Path) -> None:
    loads = re.compile(
        r'<(?:script|img|iframe|source|link(?! rel="canonical"))[^>]* (?:src|href)="(https?:)?//'
    )
    pages = [*site.rglob("*.html")]
    assert len(pages) > 60
    for page in pages:
        assert not loads.search(page.read_text()), page
    for style in site.rglob("*.css"):
        assert "url(http" not in style.read_text(), style


def test_the_contract_is_there_whole(site: Path) -> None:
    page = text_of(site, "reference/contract")
    for message in pb.DESCRIPTOR.message_types_by_name.values():
        assert f'id="{message.name.lower()}"' in page
        for field in message.fields:
            assert f"<code>{field.name}</code>" in page, f"{message.name}.{field.name}"
    for enum in pb.DESCRIPTOR.enum_types_by_name.values():
        for value in enum.values:
            assert f"<code>{value.name}</code>" in page
    for service in pb.DESCRIPTOR.services_by_name.values():
        for method in service.methods:
            assert f'id="{method.name.lower()}"' in page
    proto = (ROOT / "proto" / "maskweave" / "v1" / "synthesis.proto").read_text()
    words = set(re.findall(r"[A-Za-z]{4,}", " ".join(re.findall(r"^ *// (.*)$", proto, re.MULTILINE))))
    assert not words - set(re.findall(r"[A-Za-z]{4,}", page)), "comments that are not on the page"


def test_the_client_is_there_whole(site: Path) -> None:
    page = text_of(site, "reference/python")
    for name in maskweave_client.__all__:
        assert f'id="maskweave_client.{name}"' in page, name
    for method in ("synthesize", "paint", "edit", "morph", "encode_styles", "read_label_map"):
        assert f'id="maskweave_client.Client.{method}"' in page, method
    assert "<p>Args:" not in page, "docstrings are not parsed"


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_fit_the_screen_bar_nobody_and_ask_nobody_else(
    browser: Browser, url: str, size: tuple[int, int], scheme: str
) -> None:
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if scheme == "dark" else "light",
        reduced_motion="reduce",
    )
    page = context.new_page()
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    for address in READ:
        page.goto(f"{url}/{address}")
        scheme_of_page = page.locator("body").get_attribute("data-md-color-scheme")
        assert scheme_of_page == {"light": "default", "dark": "slate"}[scheme]
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0], address
        broken = page.evaluate(
            "[...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src)"
        )
        assert not broken, address
        if (size == WIDE) == (scheme == "light") and address in SEARCHED:
            assert not barriers(page), address
    assert not complaints
    assert not [each for each in asked if not each.startswith((url, "data:", "blob:"))]
    context.close()


def test_search_finds_what_is_searched(browser: Browser, url: str) -> None:
    page = browser.new_page()
    page.goto(f"{url}/")
    page.locator("input[name=query]").click()
    page.keyboard.type("queue_capacity")
    results = page.locator(".md-search-result__link")
    expect(results.first).to_be_visible()
    assert any("settings" in (each.get_attribute("href") or "") for each in results.all())
    page.close()
