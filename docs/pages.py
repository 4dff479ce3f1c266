"""Functions for the scripts beside it, which fill the pages."""

import re
import sys
from pathlib import Path


def fill(page: Path, name: str, block: str) -> None:
    """Replaces the text between two markers of a page; ends the script if they are missing."""
    between = re.compile(f"(<!-- {name} -->).*?(<!-- /{name} -->)", re.DOTALL)
    text, count = between.subn(
        lambda markers: f"{markers[1]}\n{block}\n{markers[2]}", page.read_text(encoding="utf-8")
    )
    if not count:
        sys.exit(f"{page.name} has no place for {name}")
    page.write_text(text, encoding="utf-8", newline="\n")
