"""The client for TypeScript: its README, its failures, a page with it, and what is published of it."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

from playwright.sync_api import Route

from tests.support.browser import chromium
from tests.support.gateway_process import GatewayProcess, gateway_process, wait_until
from tests.support.key_file import new_key, write_keys
from tests.support.pages import ROOT, blocks
from tests.support.typescript_project import MODULES, PACKAGE, STRICT, run

ADDRESS = "http://localhost:8080"
SHIPPED_GENERATED = PACKAGE / "src" / "gen"


def test_the_readme_runs_from_top_to_bottom(shipped: GatewayProcess, typescript_project: Path) -> None:
    page = blocks("client/typescript/README.md")
    assert page
    assert {block.language for block in page} == {"ts"}
    text = "\n".join(block.text for block in page)
    assert ADDRESS in text
    (typescript_project / "readme.ts").write_text(text.replace(ADDRESS, shipped.http))
    run(MODULES / ".bin" / "tsc", *STRICT, "readme.ts", folder=typescript_project)
    told = run("node", "--experimental-websocket", "--no-warnings", "readme.js", folder=typescript_project)
    assert (typescript_project / "face.png").read_bytes().startswith(b"\x89PNG")
    assert "faces64 [" in told
    assert re.search(r"^2 64$", told, re.MULTILINE), told  # the last frame of the painting
    assert "style_strength" in told


def test_failures_retries_aborts_and_keys(repository: Path, typescript_project: Path, tmp_path: Path) -> None:
    key, entry = new_key("page")
    keys = write_keys(tmp_path / "keys.toml", entry)
    shutil.copy(ROOT / "tests" / "node" / "typescript_client.mjs", typescript_project)
    with gateway_process(repository, api_keys_file=keys) as gateway:
        command = (
            "node",
            "--experimental-websocket",
            "--no-warnings",
            "typescript_client.mjs",
            gateway.http,
            key,
        )
        printed = run(*command, folder=typescript_project)
    told = {each["name"]: each["value"] for each in map(json.loads, printed.splitlines())}
    assert told == {
        "refused": [True, "INVALID_FIELD", "style_strength", "mine"],
        "keyless": True,
        "aborted": "left the page",
        "late": "DeadlineExceeded",
        "unreachable": True,
        "left early": True,
        "painted": [1, [1, 64 * 64 * 3]],
        "painting refused": [True, "update.strokes.strokes[0].class_id"],
        "drawn": [[1, "png", 64], [2, "png", 64]],
        "patient": [0, 3],
        "once": [True, 1, 1],
    }


PAGE = """<!doctype html><script type="importmap">{"imports": IMPORTS}</script><script type="module">
import { Client, InvalidRequest } from "maskweave-client";
const client = new Client(location.origin);
const labelMap = { width: 2, height: 2, data: Uint8Array.of(0, 1, 2, 0) };
const { images: [image] } = await client.draw("faces64", { labelMap, seed: 7 });
const bitmap = await createImageBitmap(image.toBlob());
const drawing = new OffscreenCanvas(2, 2);
drawing.getContext("2d").fillRect(0, 0, 1, 1);
await client.draw("faces64", { sketch: await drawing.convertToBlob(), seed: 7 });
const session = await client.paint("faces64", { labelMap, seed: 7 });
session.stroke({ classId: 3, width: 1, points: [[0, 0], [1, 1]] });
session.finish();
let last;
for await (const frame of session) last = frame;
const leaving = new AbortController();
const gone = client.draw("faces64", { labelMap }, { signal: leaving.signal }).catch((reason) => reason);
leaving.abort("gone");
const refused = await client.draw("faces64", { labelMap, styleStrength: 7 }).catch((error) => error);
const png = [...image.data.slice(1, 4)];
window.told = [bitmap.width, png, last.sequence, await gone, refused instanceof InvalidRequest];
</script>"""


def test_pages_call_it(gateway: GatewayProcess, typescript_project: Path) -> None:
    modules = typescript_project / "node_modules"
    imports: dict[str, str] = {}
    for name in ("maskweave-client", "@bufbuild/protobuf", "@connectrpc/connect", "@connectrpc/connect-web"):
        exports = json.loads((modules / name / "package.json").read_text())["exports"]
        for entry, targets in exports.items():
            file = targets.get("import") or targets["default"]
            imports[name + entry[1:]] = f"/sdk/{name}/{file.removeprefix('./')}"

    def answer(route: Route) -> None:
        place = route.request.url.partition("/sdk/")[2]
        route.fulfill(path=modules / place, content_type="text/javascript")

    with chromium() as browser:
        page = browser.new_page()
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.route("**/sdk/**", answer)
        # A page of the gateway's, with other content: of one that is made up, Chromium allows no WebSocket.
        page.goto(f"{gateway.http}/healthz")
        page.set_content(PAGE.replace("IMPORTS", json.dumps(imports)))
        told: list[object] = []

        def has_told() -> bool:
            assert not complaints
            told.extend(page.evaluate("window.told") or [])
            return bool(told)

        wait_until(has_told, lambda: "the page did not come to its end")
    assert told == [64, [80, 78, 71], 1, "gone", True]


def test_what_is_published(typescript_project: Path) -> None:
    installed = typescript_project / "node_modules" / "maskweave-client"
    packed = run("npm", "pack", "--dry-run", "--json", "--ignore-scripts", folder=installed)
    (listed,) = json.loads(packed)
    names = {each["path"] for each in listed["files"]}
    sources = {
        str(path.relative_to(PACKAGE / "src").with_suffix("")) for path in (PACKAGE / "src").rglob("*.ts")
    }
    built = {f"dist/{source}{ending}" for source in sources for ending in (".js", ".d.ts")}
    assert names == {"package.json", "README.md", "CHANGELOG.md", "LICENSE"} | built
    declared = json.loads((PACKAGE / "package.json").read_text())
    for entry in declared["exports"].values():
        assert {path.removeprefix("./") for path in entry.values()} <= names
    assert declared["license"] == "MIT"
    assert (PACKAGE / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    lock = (PACKAGE / "package-lock.json").read_text()
    assert "://" not in re.sub(r'"(?:url|funding)": "[^"]*"', "", lock), "names a registry"
    relative = re.findall(r"\]\((?!https://|#)([^)]+)", (PACKAGE / "README.md").read_text())
    assert not relative


def test_the_messages_are_those_of_the_contract(tmp_path: Path) -> None:
    """If this fails: `make typescript`, and commit what it changes."""
    copy = tmp_path / "client" / "typescript"
    copy.mkdir(parents=True)
    for name in ("generate.sh", "buf.gen.yaml"):
        shutil.copy(PACKAGE / name, copy)
    (copy / "node_modules").symlink_to(MODULES)
    shutil.copytree(ROOT / "proto" / "maskweave", tmp_path / "proto" / "maskweave")
    path = f"{ROOT / '.venv' / 'dev' / 'bin'}:{os.environ['PATH']}"
    run("./generate.sh", folder=copy, PATH=path)

    def files(folder: Path) -> dict[str, str]:
        return {str(each.relative_to(folder)): each.read_text() for each in folder.rglob("*.ts")}

    assert files(copy / "src" / "gen") == files(SHIPPED_GENERATED)


def test_the_reference_is_made_of_the_declarations(tmp_path: Path) -> None:
    """If this fails: `make typescript-page`, and commit what it changes."""
    run("node_modules/.bin/typedoc", "--out", tmp_path, folder=PACKAGE)
    shipped = ROOT / "docs" / "reference" / "typescript.md"
    assert (tmp_path / "typescript.md").read_text() == shipped.read_text()
