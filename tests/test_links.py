"""Links of the Markdown files: to files that exist, and to headings, by GitHub's rule."""

import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "notebooks/gtzan_jax.ipynb"]


def without_blocks(text):
    """Returns Markdown without its blocks of code."""
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(text):
    """Returns the anchors of headings: words in small letters, hyphens for spaces, then -1, -2 …"""
    seen = Counter()
    for heading in re.findall(r"^#+ (.*)$", without_blocks(text), re.MULTILINE):
        slug = re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
        yield f"{slug}-{seen[slug]}" if seen[slug] else slug
        seen[slug] += 1


def leads(page, text, target):
    """Returns whether a link of a page leads somewhere; pages of the site link to each other."""
    name, _, anchor = target.partition("#")
    if name:
        file = (page.parent / name).resolve()
        if not file.exists() or (page.parent == DOCS and not file.is_relative_to(DOCS)):
            return False
        text = file.read_text(encoding="utf-8") if anchor else ""
    return not anchor or anchor in anchors(text)


def broken(page, text):
    """Returns the links of a page that lead nowhere; those to other sites are not followed."""
    prose = re.sub(r"`[^`\n]*`", "", without_blocks(text))
    targets = re.findall(r"\]\(([^)\s]+)\)", prose)
    inside = [each for each in targets if not re.match(r"https?:|mailto:", each)]
    return [each for each in inside if not leads(page, text, each)]


@pytest.mark.parametrize(
    "page", [*(ROOT / p for p in PAGES), *sorted(DOCS.glob("*.md"))], ids=lambda p: p.name
)
def test_links_lead_to_files_and_headings(page):
    assert broken(page, page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("# A `b`, c?\n[x](#a-b-c) [y](#a-b)", ["#a-b"]),
        ("# A\n# A\n# A\n[x](#a-1) [y](#a-2) [z](#a-3)", ["#a-3"]),
        ("[x](nowhere.md) ![y](images/none.png)", ["nowhere.md", "images/none.png"]),
        ("[x](../README.md)", ["../README.md"]),  # the site has the pages of docs/ only
        ("[x](index.md#no-such-heading)", ["index.md#no-such-heading"]),
        ("[x](https://example.org) [y](index.md) `[z](nowhere.md)`", []),
        ("```\n# [x](nowhere.md)\n```\n[y](#x)", ["#x"]),
    ],
)
def test_what_leads_nowhere_is_found(text, found):
    assert broken(DOCS / "page.md", text) == found
