"""Measures and writes docs/pretrained.md and its pictures: how long, says the page.

    python docs/make_pretrained.py DATA                     # measures everything
    python docs/make_pretrained.py DATA cnn songs           # measures these parts anew
    python docs/make_pretrained.py DATA text                # measures nothing

DATA is a folder that pretrained_parts.py describes. What is measured is in docs/pretrained.json,
part by part as each ends.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from pretrained_parts import PARTS

PAGE = Path(__file__).with_name("pretrained.md")
MEASURED = PAGE.with_suffix(".json")


def measured() -> dict[str, Any]:
    """Returns the parts that have been measured."""
    return json.loads(MEASURED.read_text(encoding="utf-8")) if MEASURED.exists() else {}


def measure(name: str, data: Path) -> None:
    """Measures a part, and keeps it."""
    print(f"measuring {name}", flush=True)
    found = PARTS[name](data) | {"load": os.getloadavg()[1]}
    parts = measured() | {name: found}  # another process may have measured others
    ordered = {each: parts[each] for each in PARTS if each in parts}
    text = json.dumps(ordered, indent=1, ensure_ascii=False, default=float)
    MEASURED.write_text(text + "\n", encoding="utf-8")


def main() -> None:
    """Measures what is asked for, and rewrites the blocks between the markers."""
    data, wanted = Path(sys.argv[1]), sys.argv[2:] or list(PARTS)
    for name in wanted:
        if name != "text":
            measure(name, data)


if __name__ == "__main__":
    main()
