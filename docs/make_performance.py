"""Fills the tables in docs/performance.md from the benchmark's record or a sweep on segments.

python -m benchmarks && python docs/make_performance.py
python docs/make_performance.py ROUND.json …    # rounds of --repeats=1 --name=…, as one record
python -m gtzan_jax.sweep --data=sample3 --retrain_epochs=0 --workdir=RUNDIR
python docs/make_performance.py RUNDIR
"""

import itertools
import json
import re
import sys
from pathlib import Path

from pages import fill

from benchmarks.report import markdown, record_of
from gtzan_jax.rundir.directory import RunDir

ROOT = Path(__file__).parent.parent
LATEST = ROOT / "benchmarks" / "results" / "latest.json"
FIGURES = ("torch_batched", "steady", "floor", "main", "seeds", "memory", "main_memory",
           "seeds_memory")  # fmt: skip
"""Of the record, those on the page."""


def of_benchmarks() -> str:
    """Returns the tables of the benchmark's record."""
    record = json.loads(LATEST.read_text())
    record["figures"] = {key: record["figures"][key] for key in FIGURES}
    _, _, table = markdown(record).partition("\n\n")  # without its heading
    return re.sub("^## ", "### ", table.rstrip(), flags=re.MULTILINE)


def put_together(records: list[Path]) -> None:
    """Writes a record of the rounds of others; records of some rows only join a round each."""
    read = [json.loads(path.read_text()) for path in records]
    whole = [dict(r["rounds"][0]) for r in read if "cold" in r["rounds"][0]]
    others = [r["rounds"][0] for r in read if "cold" not in r["rounds"][0]]
    for measured, more in zip(itertools.cycle(whole), others, strict=False):
        measured |= more
    kept = {key: read[0][key] for key in ("platform", "data", "missing", "busy") if key in read[0]}
    record = record_of(whole, **kept) | {
        key: read[0][key] for key in ("date", "machine", "versions")
    }
    LATEST.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    LATEST.with_suffix(".md").write_text(markdown(record))


def of_segments(folder: str) -> str:
    """Returns the seconds of a sweep on a table of segments, from its manifest."""
    manifest = RunDir(folder).read_manifest()
    fold, seconds = manifest.split.folds[0], manifest.timings_s
    parts = ", ".join(f"{part} {value:.1f}" for part, value in seconds.items() if part != "total")
    session = manifest.sessions[-1]
    return (
        f"`{session.command.partition(' --workdir')[0]}`: {manifest.data.rows_note}, "
        f"{fold.train:,} to train on and {fold.test:,} to test on; {len(session.devices)} "
        f"{session.platform} workers: {seconds['total']:.0f} s ({parts}), peak memory "
        f"{(manifest.peak_rss_bytes or 0) / 1e9:.2f} GB."
    )


def main() -> None:
    """Rewrites a block between markers."""
    paths = [Path(argument) for argument in sys.argv[1:]]
    if paths and paths[0].suffix != ".json":
        name, block = "segments", of_segments(sys.argv[1])
    else:
        if paths:
            put_together(paths)
        name, block = "table", of_benchmarks()
    fill(ROOT / "docs" / "performance.md", name, block)


if __name__ == "__main__":
    main()
