"""Fills the tables in docs/performance.md: from the benchmark's record, or from a sweep on chunks.

python -m benchmarks && python docs/make_performance.py
python -m gtzan_jax.sweep --data=sample3 --retrain_epochs=0 --workdir=RUNDIR
python docs/make_performance.py RUNDIR
"""

import json
import re
import sys
from pathlib import Path

from benchmarks.report import markdown
from gtzan_jax.rundir.directory import RunDir

ROOT = Path(__file__).parent.parent


def of_benchmarks() -> str:
    """Returns the tables of the benchmark's record."""
    record = json.loads((ROOT / "benchmarks" / "results" / "latest.json").read_text())
    _, _, table = markdown(record).partition("\n\n")  # without its heading
    return re.sub("^## ", "### ", table, flags=re.MULTILINE)


def of_chunks(folder: str) -> str:
    """Returns what a sweep on a table of chunks took, from its manifest."""
    manifest = RunDir(folder).read_manifest()
    fold, seconds = manifest.split.folds[0], manifest.timings_s
    parts = ", ".join(f"{part} {value:.1f}" for part, value in seconds.items() if part != "total")
    session = manifest.sessions[-1]
    return (
        f"`{session.command.partition(' --workdir')[0]}`: {manifest.data.rows_note}, "
        f"{fold.train:,} to train on and {fold.test:,} to test on; {len(session.devices)} "
        f"{session.platform} devices: {seconds['total']:.0f} s ({parts}), peak memory "
        f"{(manifest.peak_rss_bytes or 0) / 1e9:.2f} GB.\n"
    )


def main() -> None:
    """Rewrites the block between the markers."""
    name, block = ("chunks", of_chunks(sys.argv[1])) if sys.argv[1:] else ("table", of_benchmarks())
    filled = f"<!-- {name} -->\n{block}<!-- /{name} -->"
    page = ROOT / "docs" / "performance.md"
    text = re.sub(
        f"<!-- {name} -->.*<!-- /{name} -->", lambda _: filled, page.read_text(), flags=re.DOTALL
    )
    page.write_text(text)


if __name__ == "__main__":
    main()
