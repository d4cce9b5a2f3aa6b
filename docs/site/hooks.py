"""Hooks of MkDocs that make a site of `docs/` as it is, and of what its pages link to elsewhere.

A link from a page to a file outside of `docs/` leads, on the site, to a copy of that file under `source/`:
pages as pages, code as a page that shows it, folders as a list. So nothing leads to another host, and the
strict build finds every link that leads nowhere.
"""

from __future__ import annotations

import posixpath
import re
import sys
from pathlib import Path

import mdformat
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

sys.path.insert(0, str(Path(__file__).parent))  # MkDocs loads this file alone

from contract import contract_page

ROOT = Path(__file__).parents[2]
PACKS = ROOT / "training" / "packs"
ALSO = (
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "NOTICE.md",
    "client/CHANGELOG.md",
    "client/typescript/CHANGELOG.md",
)
"""What the navigation has that no page need link to."""

LANGUAGES = {
    ".cs": "csharp", ".css": "css", ".go": "go", ".java": "java", ".js": "js", ".json": "json", ".mjs": "js",
    ".pbtxt": "proto", ".proto": "proto", ".py": "python", ".rs": "rust", ".sh": "sh", ".swift": "swift",
    ".toml": "toml", ".ts": "ts", ".tsx": "tsx", ".txt": "text", ".yaml": "yaml", "": "text",
}  # fmt: skip
"""Files that are shown as code, by their suffix; others are copied as they are."""

_LINK = re.compile(r"(?<=\]\()([^)#\s]+)(?=[)#\s])")
_UNSEARCHED = "---\nsearch:\n  exclude: true\n---\n"
_originals: dict[str, str] = {}
"""Where a page of the site is in the repository, by where it is on the site; made anew by every build."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put into the navigation what grows: decisions, and the packs' cards."""
    assert config.nav is not None
    grown = {
        "Decisions": [
            f"decisions/{file.name}" for file in sorted((ROOT / "docs" / "decisions").glob("0*.md"))
        ],
        "Models": [site_uri(str(file.relative_to(ROOT))) for file in sorted(PACKS.glob("*/README.md"))],
    }
    for section in config.nav:
        for title in section.keys() & grown.keys():
            section[title].extend(grown[title])
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the page of the contract, and copies of what pages link to."""
    _originals.clear()
    files.append(File.generated(config, "reference/contract.md", content=contract_page(ROOT / "proto")))
    _originals.update({file.src_uri: f"docs/{file.src_uri}" for file in files.documentation_pages()})
    waiting = [
        *_originals.values(),
        *ALSO,
        *(str(file.relative_to(ROOT)) for file in PACKS.glob("*/README.md")),
    ]
    seen = set[str]()
    while waiting:
        path = waiting.pop()
        if path in seen or not (ROOT / path).exists():
            continue
        seen.add(path)
        uri = site_uri(path)
        if uri.startswith("source/") and uri not in files.src_uris:  # a folder and its README.md are one
            files.append(_copy(path, uri, config))
        if (ROOT / path).is_file() and path.endswith(".md"):
            text = (ROOT / path).read_text(encoding="utf-8")
            waiting += [_target(path, link) for link in _LINK.findall(text) if "://" not in link]
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links to where things are on the site, and write pages as MkDocs reads them."""
    del config, files
    path = _originals.get(page.file.src_uri)
    if path is None:
        return markdown
    folder = posixpath.dirname(page.file.src_uri)
    if page.file.src_uri == "reference/typescript.md":
        # Of headings that are alike, code hosts call the second `name-1`, MkDocs `name_1`.
        markdown = re.sub(r"(?<=\]\(#)([a-z-]+)-(\d+)(?=\))", r"\1_\2", markdown)

    def led(found: re.Match[str]) -> str:
        target = _target(path, found[1])
        if "://" in found[1] or not (ROOT / target).exists():
            return found[1]
        return posixpath.relpath(site_uri(target), folder)

    # Pages are CommonMark, as code hosts show them; MkDocs reads lists by older rules.
    return mdformat.text(_one_title(_LINK.sub(led, markdown)), extensions={"gfm", "mkdocs"})


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """A corner of a table that heads nothing is no header."""
    del page, config, files
    return re.sub(r"<th([^>]*)></th>", r"<td\1></td>", html)


def site_uri(path: str) -> str:
    """Where a file or folder of the repository is on the site, both relative to their roots."""
    if (ROOT / path).is_dir():
        index = posixpath.join(path, "README.md")
        if (ROOT / index).exists():
            return site_uri(index)
        return posixpath.join("source", index)
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    if Path(path).suffix in LANGUAGES:
        return f"source/{path}.md"
    return f"source/{path}"


def _one_title(markdown: str) -> str:
    """The page with all headings one level down but the first, if it has several titles."""
    parts = re.split(r"^( *`{3,}.*?^ *`{3,}$)", markdown, flags=re.MULTILINE | re.DOTALL)  # code in between
    if sum(len(re.findall(r"^# ", part, re.MULTILINE)) for part in parts[::2]) < 2:
        return markdown
    parts[::2] = [re.sub(r"^#", "##", part, flags=re.MULTILINE) for part in parts[::2]]
    return "".join(parts).replace("##", "#", 1)


def _target(page: str, link: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), link))


def _copy(path: str, uri: str, config: MkDocsConfig) -> File:
    original = ROOT / path
    if original.is_dir():
        if (original / "README.md").exists():
            return _copy(posixpath.join(path, "README.md"), uri, config)
        names = sorted(
            each.name + "/" * each.is_dir() for each in original.iterdir() if each.name[0] not in "._"
        )
        listed = "\n".join(f"- `{name}`" for name in names)
        return File.generated(config, uri, content=f"{_UNSEARCHED}# `{path}/`\n\n{listed}\n")
    if path.endswith(".md"):
        _originals[uri] = path
        return File.generated(config, uri, content=original.read_text(encoding="utf-8"))
    language = LANGUAGES.get(original.suffix)
    if language is None:
        return File.generated(config, uri, abs_src_path=str(original))
    text = original.read_text(encoding="utf-8").rstrip("\n")
    return File.generated(
        config, uri, content=f"{_UNSEARCHED}# `{path}`\n\n``````{language}\n{text}\n``````\n"
    )
