"""The playground in a real browser, on real gateways: what people do there, and what they see."""

from __future__ import annotations

import filecmp
import json
import re
import subprocess
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, FloatRect, Locator, WebSocket, expect

from maskweave_client import Client
from tests.support.browser import NARROW, WIDE, Playground, barriers, chromium, playground
from tests.support.copied_code import BEGINS, code_in, image_of
from tests.support.gateway_process import PATIENCE_SECONDS, GatewayProcess, gateway_process, wait_until
from tests.support.key_file import new_key, write_keys
from tests.support.leftovers import Leftovers
from tests.support.relay import relay
from tests.support.typescript_project import MODULES, STRICT, run

ROOT = Path(__file__).parents[2]
BUNDLE = ROOT / "service" / "playground_files"


# For this file alone: while Playwright runs, tests with an event loop of their own cannot.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture
def shown(browser: Browser, shipped: GatewayProcess) -> Iterator[Playground]:
    """The playground of a gateway on the shipped models."""
    with playground(browser, shipped.http) as tab:
        tab.open()
        yield tab


def test_a_stroke_repaints_what_is_painted_and_little_else(shown: Playground) -> None:
    before = shown.pixels()
    shown.choose("skin")
    shown.stroke((0.35, 0.1), (0.65, 0.1), (0.65, 0.16), (0.35, 0.16))
    changed = np.abs(shown.pixels() - before).mean(axis=2)
    eighth = len(changed) // 8
    painted, far = changed[eighth : 3 * eighth, 2 * eighth : 5 * eighth], changed[5 * eighth :]
    assert painted.mean() > 15
    assert far.mean() < painted.mean() / 4


def test_an_edit_changes_nothing_far_away(shown: Playground) -> None:
    shown.choose_tab("Edit")
    before = shown.pixels()
    shown.choose("skin")
    shown.stroke((0.4, 0.78), (0.6, 0.78), (0.4, 0.84), (0.6, 0.84))
    changed = np.abs(shown.pixels() - before).max(axis=2)
    height = len(changed)
    assert changed[2 * height // 3 :].max() > 0
    assert changed[: height // 3].max() == 0


def test_undo_and_redo(shown: Playground) -> None:
    before, drawn_before = shown.pixels(), shown.pixels("drawing")
    shown.stroke((0.2, 0.3), (0.8, 0.3))
    after, drawn_after = shown.pixels(), shown.pixels("drawing")
    assert (drawn_after != drawn_before).any()
    assert (after != before).any()
    shown.page.keyboard.press("Control+z")
    shown.wait_until_live()
    assert (shown.pixels("drawing") == drawn_before).all()
    shown.wait_until_shown(before)
    shown.press("Redo")
    shown.wait_until_live()
    assert (shown.pixels("drawing") == drawn_after).all()
    shown.wait_until_shown(after)


def test_tools(shown: Playground) -> None:
    shown.choose("neck or clothes")
    color = (0x3C, 0xA0, 0x5A)

    def share() -> float:
        return float((shown.pixels("drawing") == color).all(axis=2).mean())

    shown.press("Blank")
    assert share() == 0
    shown.page.keyboard.press("l")
    shown.stroke((0.2, 0.2), (0.2, 0.8))
    line = share()
    assert 0.03 < line < 0.05  # 6 % wide, 60 % long
    shown.press("Mirror")
    shown.stroke((0.4, 0.2), (0.4, 0.8))
    assert share() == pytest.approx(3 * line, rel=0.05)
    shown.page.keyboard.press("e")
    shown.stroke((0.4, 0.1), (0.4, 0.9))
    assert share() == pytest.approx(line, rel=0.05)
    shown.page.keyboard.press("f")
    shown.stroke((0.95, 0.5))
    assert share() == pytest.approx(1)


def test_the_keyboard_draws(shown: Playground) -> None:
    before = shown.pixels("drawing")
    shown.choose("hair or headwear")
    shown.page.locator(".surface").focus()
    for key in ("ArrowDown", "ArrowDown", " "):
        shown.page.keyboard.press(key)
    shown.wait_until_live()
    drawn = shown.pixels("drawing")
    assert (drawn[138, 128] == (0xC8, 0x3C, 0x3C)).all()
    assert 0 < (drawn != before).any(axis=2).sum() < 300


def test_fingers_draw(browser: Browser, shipped: GatewayProcess) -> None:
    with playground(browser, shipped.http, NARROW, has_touch=True, is_mobile=True) as tab:
        tab.open()
        before = tab.pixels("drawing")
        tab.page.locator(".surface").tap()
        tab.wait_until_live()
        assert 0 < (tab.pixels("drawing") != before).any(axis=2).sum() < 400


def test_sketches_and_scribbles(shown: Playground) -> None:
    for name, says in (("Sketch", "Draw a line"), ("Scribble", "Draw a stroke")):
        shown.choose_tab(name)
        shown.press("Blank")
        expect(shown.page.locator(".missing")).to_contain_text(says)
        shown.stroke((0.3, 0.3), (0.7, 0.3), (0.7, 0.7), (0.3, 0.7), (0.3, 0.3))
        expect(shown.page.locator(".missing")).to_have_count(0)
        before = shown.pixels()
        shown.stroke((0.4, 0.6), (0.6, 0.6))
        assert (shown.pixels() != before).any()


def test_images_of_every_kind_are_taken(shown: Playground, tmp_path: Path) -> None:
    """As they come out of cameras, screenshots and other pages, whatever the service takes of them."""
    pixels = np.random.default_rng(0).integers(0, 256, (150, 200, 4), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "transparent.png")
    Image.fromarray(pixels[..., :3]).save(tmp_path / "modern.webp")
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(pixels[..., :3]).save(tmp_path / "turned.jpg", exif=turned)
    (tmp_path / "broken.png").write_bytes(b"no image")
    failure = shown.page.get_by_test_id("failure")
    for name, button in (("Exemplar", "Load"), ("Edit", "Photograph")):
        shown.choose_tab(name)
        for file in ("transparent.png", "modern.webp", "turned.jpg"):
            before = shown.pixels()
            shown.page.get_by_label(button, exact=True).set_input_files(tmp_path / file)
            wait_until(
                lambda before=before: (shown.pixels() != before).any(),  # type: ignore[misc]
                lambda: f"{file} changed nothing: {failure.all_inner_texts()}",  # noqa: B023
            )
            shown.wait_until_live()
            expect(failure).to_have_count(0)
        shown.page.get_by_label(button, exact=True).set_input_files(tmp_path / "broken.png")
        expect(failure).to_contain_text("no image that this browser can read")


def sampled(tab: Playground, side: int) -> NDArray[np.int16]:
    """The drawing at the size of the model's label maps, by nearest neighbour."""
    drawn = tab.pixels("drawing")
    step = len(drawn) // side
    return drawn[step // 2 :: step, step // 2 :: step]


def wait_until_read(tab: Playground, wanted: NDArray[np.uint8]) -> None:
    """Wait until the drawing is nearly this one: it is read off an image that was made larger and smaller."""
    wait_until(
        lambda: bool((sampled(tab, len(wanted)) == wanted).all(axis=2).mean() > 0.9),
        lambda: f"what it shows is not drawn: {tab.page.get_by_test_id('failure').all_inner_texts()}",
    )


def test_a_random_image_and_its_own_label_map_are_started_from(
    shown: Playground, shipped_client: Client
) -> None:
    page = shown.page
    before = shown.pixels()
    page.evaluate("() => { crypto.getRandomValues = (numbers) => numbers.fill(7) }")
    page.get_by_role("button", name="Random image", exact=True).focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("spinbutton", name="Seed")).to_have_value("7")
    own = shipped_client.read_label_map("faces64", 7)
    assert own.image is not None
    wanted = np.asarray(shipped_client.model("faces64").palette.color_image(own.label_map).convert("RGB"))
    wait_until(lambda: np.array_equal(sampled(shown, 64), wanted), lambda: "its label map is not drawn")
    # What shows is near that image, as far as the model can.
    pixels = own.image.to_numpy()
    most = np.abs(before - pixels).mean() / 2
    wait_until(lambda: np.abs(shown.pixels() - pixels).mean() < most, lambda: "its image does not show")

    page.get_by_role("combobox").select_option("faces64_styles")
    shown.wait_until_live()
    expect(page.get_by_role("button", name="Random image")).to_have_count(0)
    expect(page.get_by_label("From a photograph")).to_have_count(1)


def test_a_photograph_is_started_from(shown: Playground, shipped_client: Client, tmp_path: Path) -> None:
    page, failure = shown.page, shown.page.get_by_test_id("failure")
    own = shipped_client.read_label_map("faces64", 3)
    assert own.image is not None
    wide = Image.new("RGB", (480, 320), "#204060")  # its middle is taken
    wide.paste(own.image.to_pil().resize((320, 320), Image.Resampling.BICUBIC), (80, 0))
    wide.save(tmp_path / "wide.jpg", quality=95)
    palette = shipped_client.model("faces64").palette
    wanted = np.asarray(palette.color_image(own.label_map).convert("RGB"))
    for model in ("faces64", "faces64_styles"):
        page.get_by_role("combobox").select_option(model)
        shown.wait_until_live()
        page.get_by_label("From a photograph", exact=True).set_input_files(tmp_path / "wide.jpg")
        wait_until_read(shown, wanted)
    (tmp_path / "broken.png").write_bytes(b"not an image")
    page.get_by_label("From a photograph", exact=True).set_input_files(tmp_path / "broken.png")
    expect(failure).to_contain_text("no image that this browser can read")
    # To edit it, nothing need be drawn over it any more.
    page.get_by_role("combobox").select_option("faces64")
    shown.choose_tab("Edit")
    page.get_by_label("Photograph", exact=True).set_input_files(tmp_path / "wide.jpg")
    wait_until_read(shown, wanted)


def test_models_that_read_nothing_offer_nothing(browser: Browser, dolls: GatewayProcess) -> None:
    with playground(browser, dolls.http) as tab:
        tab.open()
        expect(tab.page.get_by_role("button", name="Random drawing")).to_have_count(1)
        expect(tab.page.get_by_role("button", name="Random image")).to_have_count(0)
        expect(tab.page.get_by_label("From a photograph")).to_have_count(0)


def test_looks_and_morph(shown: Playground) -> None:
    page = shown.page
    page.get_by_role("combobox").select_option("faces64_styles")
    shown.wait_until_live()
    before = shown.pixels()
    shown.press("Another look of hair or headwear")
    shown.wait_until_live()
    first = shown.pixels()
    assert (first != before).any()
    page.get_by_role("slider", name="Blend of hair or headwear").fill("1")
    shown.wait_until_live()
    second = shown.pixels()
    assert (second != first).any()
    shown.press("As the seed has them")
    shown.wait_until_shown(before)

    shown.press("Morph to other looks")
    expect(page.get_by_role("slider", name="Position between the looks")).to_have_attribute("max", "23")
    page.get_by_role("slider", name="Position between the looks").fill("0")
    shown.wait_until_shown(before)
    shown.press("End the morph")
    shown.wait_until_shown(before)


def test_every_model_with_its_own_palette(
    browser: Browser, dolls: GatewayProcess, dolls_client: Client
) -> None:
    with playground(browser, dolls.http) as tab:
        tab.open()
        for model in dolls_client.models():
            tab.page.get_by_role("combobox").select_option(model.name)
            tab.wait_until_live()
            titles = [entry.title or entry.name for entry in model.palette]
            assert tab.page.locator(".palette .ink").all_inner_texts() == titles
            colors = tab.page.locator(".palette .swatch").evaluate_all(
                "all => all.map(each => getComputedStyle(each).backgroundColor)"
            )
            assert colors == [f"rgb({', '.join(map(str, _rgb(entry.color)))})" for entry in model.palette]
            assert tab.pixels().shape == (model.image_height, model.image_width, 3)


def test_the_gateway_goes_and_comes_back(browser: Browser, repository: Path) -> None:
    with gateway_process(repository) as first:
        port = first.http.rpartition(":")[2]
        with playground(browser, first.http) as tab:
            sockets: list[WebSocket] = []
            # Playwright takes no method of a built-in.
            tab.page.on("websocket", lambda socket: sockets.append(socket))  # noqa: PLW0108
            tab.open()
            first.kill()
            tab.page.mouse.move(0, 0)
            expect(tab.page.get_by_test_id("failure")).to_contain_text("does not answer")
            with gateway_process(repository, http_port=port):
                tab.wait_until_live()
                expect(tab.page.get_by_test_id("failure")).to_have_count(0)
                before = tab.pixels("drawing")
                tab.stroke((0.2, 0.3), (0.8, 0.3))
                assert (tab.pixels("drawing") != before).any()
                assert not sockets[-1].is_closed(), "it paints without a session since"


@pytest.mark.parametrize(("model", "name"), [("slow", "Label map"), ("faces64", "Sketch")])
def test_the_gateway_comes_back_with_other_models(
    model: str, name: str, browser: Browser, repository: Path, dolls_repository: Path
) -> None:
    """There is no `slow` any more, and `faces64` takes no sketches."""
    with gateway_process(repository) as first:
        port = first.http.rpartition(":")[2]
        with playground(browser, first.http) as tab:
            tab.open()
            tab.page.get_by_role("combobox").select_option(model)
            tab.choose_tab(name)
            first.kill()
            with (
                gateway_process(dolls_repository, http_port=port) as second,
                Client(second.address) as client,
            ):
                served = {each.name: each for each in client.models()}
                options = tab.page.locator("header select option")

                def offered(options: Locator = options) -> list[str]:
                    names: list[str] = options.evaluate_all("all => all.map(each => each.value)")
                    return names

                wait_until(lambda: offered() == list(served), lambda: f"{offered()} are offered")
                tab.wait_until_live()
                now = served[tab.page.get_by_role("combobox").input_value()]
                assert now.name == model or model not in served
                titles = [entry.title or entry.name for entry in now.palette]
                expect(tab.page.locator(".palette .ink")).to_have_text(titles)
                expect(tab.page.get_by_role("tab", name="Label map")).to_have_attribute(
                    "aria-selected", "true"
                )
                tab.stroke((0.2, 0.3), (0.8, 0.3))
                assert tab.pixels().shape == (now.image_height, now.image_width, 3)


def test_a_slow_gateway(browser: Browser, shipped: GatewayProcess) -> None:
    """Drawing waits for nothing, the page says what it waits for, and then shows what was drawn last."""
    with relay(shipped.http) as between, playground(browser, between.url) as tab:
        tab.open()
        status, failure = tab.page.get_by_test_id("status"), tab.page.get_by_test_id("failure")
        before = tab.pixels("drawing")
        between.hold()
        tab.drag((0.2, 0.3), (0.8, 0.3))
        first = tab.pixels("drawing")
        assert (first != before).any()
        expect(status).to_have_text("Slow")
        expect(failure).to_contain_text("takes long")
        tab.drag((0.2, 0.6), (0.8, 0.6))
        assert (tab.pixels("drawing") != first).any()
        expect(status).to_have_text("Slow")
        between.release()
        tab.wait_until_live()
        expect(failure).to_have_count(0)
        tab.press("Share")
        expect(tab.page.get_by_role("status")).not_to_be_empty()
        with playground(browser, shipped.http) as other:
            other.open(tab.page.evaluate("location.hash"))
            tab.wait_until_shown(other.pixels())


def test_without_websockets_one_image_is_asked_for_after_another(
    browser: Browser, shipped: GatewayProcess
) -> None:
    with relay(shipped.http) as between, playground(browser, between.url) as tab:
        between.refuses_websockets = True
        tab.open()
        refused = between.websockets
        assert refused
        for name, y in (("Label map", 0.3), ("Sketch", 0.4), ("Scribble", 0.5), ("Edit", 0.75)):
            tab.choose_tab(name)
            before = tab.pixels()
            tab.stroke((0.3, y), (0.7, y), (0.7, y + 0.15))
            assert (tab.pixels() != before).any(), name
        expect(tab.page.get_by_test_id("failure")).to_have_count(0)
        # At most again after a minute.
        assert between.websockets < refused + 4, "one is tried for every stroke"
        tab.complaints = [each for each in tab.complaints if "WebSocket" not in each]  # the browser's own


def test_a_key_is_asked_for_and_never_kept(
    browser: Browser, repository: Path, tmp_path: Path, typescript_project: Path
) -> None:
    keys = tmp_path / "keys.toml"
    secret, entry = new_key()
    write_keys(keys, entry)
    with gateway_process(repository, api_keys_file=keys) as gateway, playground(browser, gateway.http) as tab:
        tab.page.goto(gateway.http)
        expect(tab.page.get_by_test_id("failure")).to_contain_text("asks for a key")
        entry_field = tab.page.locator("dialog input")
        entry_field.fill("ключ")  # no header can have it
        tab.press("Use it")
        assert entry_field.evaluate("input => input.validity.patternMismatch")
        entry_field.fill("wrong")
        # Told by the browser itself: its messages come only while something is asked of it.
        with tab.page.expect_response(lambda reply: reply.status == HTTPStatus.UNAUTHORIZED):
            tab.press("Use it")
        entry_field.fill(f" {secret} ")  # it asks again by itself
        tab.press("Use it")
        tab.wait_until_live()
        tab.stroke((0.2, 0.3), (0.8, 0.3))
        expect(tab.page).to_have_url(re.compile("#"))
        kept = tab.page.evaluate(
            "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, location.href])"
        )
        assert secret not in kept
        tab.press("Code")
        for language in BEGINS:
            code = code_in(tab, language)
            assert secret not in code
            made = image_of(code, language, typescript_project, MASKWEAVE_KEY=secret)
            assert (made == tab.pixels()).all(), language
        tab.complaints = [each for each in tab.complaints if "401" not in each]


def test_a_link_has_the_whole_state(browser: Browser, shown: Playground) -> None:
    shown.stroke((0.2, 0.3), (0.8, 0.3))
    shown.page.get_by_label("Seed", exact=True).fill("5")
    shown.page.keyboard.press("Tab")
    shown.wait_until_live()
    shown.press("Share")
    expect(shown.page.get_by_role("status")).not_to_be_empty()
    fragment = shown.page.evaluate("location.hash")
    with playground(browser, shown.url) as other:
        other.open(fragment)
        assert (other.pixels("drawing") == shown.pixels("drawing")).all()
        other.wait_until_shown(shown.pixels())
    with playground(browser, shown.url) as other:
        other.open("#bm9uc2Vuc2U")

    shown.choose_tab("Edit")
    shown.stroke((0.4, 0.78), (0.6, 0.84))
    shown.press("Share")
    wait_until(lambda: shown.page.evaluate("location.hash") != fragment, lambda: "the address has no edit")
    with playground(browser, shown.url) as other:
        other.open(shown.page.evaluate("location.hash"))
        assert (other.pixels("drawing") == shown.pixels("drawing")).all()
        other.wait_until_shown(shown.pixels())


def test_a_reload_keeps_what_was_drawn(shown: Playground) -> None:
    """In the middle of a stroke, and after minutes without a pause long enough for the address to follow."""
    shown.press("Share")
    expect(shown.page.get_by_role("status")).not_to_be_empty()
    address = shown.page.evaluate("location.hash")
    shown.choose("neck or clothes")
    before = shown.pixels("drawing")
    box = shown.page.locator(".surface").bounding_box()
    assert box
    shown.page.mouse.move(box["x"] + 50, box["y"] + 50)
    shown.page.mouse.down()
    wait_until(
        lambda: _moved(shown, box) and shown.page.evaluate("location.hash") != address,
        lambda: "the address does not follow a stroke that goes on",
    )
    first = (shown.pixels("drawing") != before).any(axis=2)
    shown.page.reload()
    shown.wait_until_live()
    shown.page.mouse.up()
    kept = (shown.pixels("drawing") != before).any(axis=2)
    assert kept.any()
    assert not (kept & ~first).any()


def _moved(shown: Playground, box: FloatRect) -> bool:
    """Draw on, to somewhere near: never still for as long as a pause."""
    for x in (60, 70):
        shown.page.mouse.move(box["x"] + x, box["y"] + 50, steps=3)
    return True


def test_the_code_runs_as_copied(
    shown: Playground, shipped: GatewayProcess, typescript_project: Path
) -> None:
    shown.stroke((0.2, 0.3), (0.8, 0.3))
    shown.press("Code")
    expected = shown.pixels()
    for language in BEGINS:
        code = code_in(shown, language)
        if language in ("Python", "grpcurl"):
            assert shipped.address in code
        assert (image_of(code, language, typescript_project) == expected).all(), language


def test_the_code_of_edits_and_looks(shown: Playground, typescript_project: Path, tmp_path: Path) -> None:
    def check(*languages: str) -> None:
        expected = shown.pixels()
        shown.press("Code")
        for language in languages:
            code = code_in(shown, language)
            assert (image_of(code, language, typescript_project) == expected).all(), (language, code)
        shown.page.keyboard.press("Escape")

    shown.choose_tab("Edit")
    shown.choose("skin")
    shown.stroke((0.4, 0.78), (0.6, 0.84))
    check("Python", "TypeScript", "curl")

    shown.page.get_by_role("combobox").select_option("faces64_styles")
    shown.wait_until_live()
    Image.fromarray(shown.pixels().astype(np.uint8)).save(tmp_path / "one.png")
    shown.press("Another look of skin, nose")
    shown.page.get_by_role("slider", name="Blend of skin, nose").fill("0.25")
    shown.page.get_by_label("Look of hair or headwear from an image").set_input_files(tmp_path / "one.png")
    expect(shown.page.get_by_role("slider", name="Blend of hair or headwear")).to_be_visible()
    shown.wait_until_live()
    check("Python", "TypeScript", "curl")
    # Of a literal look, too, the compiler knows what it is.
    (typescript_project / "face.ts").write_text((typescript_project / "face.mjs").read_text())
    run(MODULES / ".bin" / "tsc", *STRICT, "--noEmit", "face.ts", folder=typescript_project)


def test_axe_finds_nothing(browser: Browser, shipped: GatewayProcess) -> None:
    for size, scheme in ((WIDE, "light"), (NARROW, "dark")):
        with playground(browser, shipped.http, size, color_scheme=scheme, reduced_motion="reduce") as tab:
            tab.open()

            def check(where: str, tab: Playground = tab) -> None:
                found = barriers(tab.page)
                assert not found, (where, json.dumps(found, indent=1))

            for name in ("Label map", "Sketch", "Scribble", "Exemplar", "Edit"):
                tab.choose_tab(name)
                check(name)
            for name in ("Code", "Key"):
                tab.press(name)
                check(name)
                tab.page.keyboard.press("Escape")
            tab.page.get_by_role("combobox").select_option("faces64_styles")
            tab.wait_until_live()
            tab.press("All anew")
            assert tab.page.evaluate("document.documentElement.scrollWidth") <= size[0]
            tab.page.locator(".badge summary").click()
            check("faces64_styles")


@pytest.mark.parametrize("size", [WIDE, NARROW, (760, 1024)])
def test_drawing_and_result_are_seen_at_once(
    size: tuple[int, int], browser: Browser, shipped: GatewayProcess
) -> None:
    with playground(browser, shipped.http, size) as tab:
        tab.open()
        assert tab.page.evaluate("document.documentElement.scrollWidth") <= size[0]
        for part in (".surface", ".result .frame", ".palette"):
            box = tab.page.locator(part).bounding_box()
            assert box
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= size[0]
            assert box["y"] + box["height"] <= size[1], part


def test_painting_leaves_nothing_behind(shown: Playground) -> None:
    """`make paint-soak` paints for ten minutes."""
    leftovers = Leftovers(shown)
    leftovers.paint(10)
    before = leftovers.held()
    leftovers.paint(30)
    after = leftovers.held()
    assert not leftovers.complaints(before, after, 30)

    # That it would have been found: a page that keeps as much as one small image for each frame.
    shown.page.evaluate(
        "window.kept = []; addEventListener('maskweave:latency', () => kept.push(new Uint8Array(12288)))"
    )
    leftovers.paint(10)
    assert leftovers.complaints(after, leftovers.held(), 10)


def test_the_bundle_is_what_the_source_gives(tmp_path: Path) -> None:
    """If this fails: `make web`, and commit what it changes."""
    made = tmp_path / "bundle"
    subprocess.run(
        ["node_modules/.bin/vite", "build", "--outDir", str(made), "--logLevel", "error"],
        cwd=ROOT / "web",
        check=True,
        timeout=2 * PATIENCE_SECONDS,
    )
    names = sorted(str(each.relative_to(made)) for each in made.rglob("*") if each.is_file())
    assert names == sorted(str(each.relative_to(BUNDLE)) for each in BUNDLE.rglob("*") if each.is_file())
    assert filecmp.cmpfiles(made, BUNDLE, names, shallow=False)[1:] == ([], [])


def _rgb(color: str) -> tuple[int, int, int]:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)
