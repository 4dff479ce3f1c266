"""Fills the table in docs/performance.md from the benchmark's record.

python -m benchmarks && python docs/make_performance.py
"""

import json
import re
from pathlib import Path

from benchmarks.report import markdown

ROOT = Path(__file__).parent.parent


def main() -> None:
    """Rewrites the block between the markers."""
    record = json.loads((ROOT / "benchmarks" / "results" / "latest.json").read_text())
    _, _, table = markdown(record).partition("\n\n")  # without its heading
    lower = re.sub("^## ", "### ", table, flags=re.MULTILINE)
    block = f"<!-- table -->\n{lower}<!-- /table -->"
    page = ROOT / "docs" / "performance.md"
    text = re.sub(
        "<!-- table -->.*<!-- /table -->", lambda _: block, page.read_text(), flags=re.DOTALL
    )
    page.write_text(text)


if __name__ == "__main__":
    main()
