"""Fills the tables in docs/performance.md from the benchmark's records or a sweep on segments.

python -m benchmarks && python docs/make_performance.py
python docs/make_performance.py BEFORE.json AFTER.json …
python -m gtzan_jax.sweep --data=sample3 --retrain_epochs=0 --workdir=RUNDIR
python docs/make_performance.py RUNDIR

Of two versions, each measures one round in turn (``--repeats=1 --name=…``): records with before in
their names are of the older one. Rounds of a version are put together in benchmarks/results.
"""

import itertools
import json
import re
import sys
from pathlib import Path

from pages import fill

from benchmarks.report import markdown, record_of
from benchmarks.targets import FIGURES
from gtzan_jax.rundir.directory import RunDir

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"


def of_benchmarks() -> str:
    """Returns the tables of the benchmark's record."""
    record = json.loads((RESULTS / "latest.json").read_text())
    _, _, table = markdown(record).partition("\n\n")  # without its heading
    return re.sub("^## ", "### ", table.rstrip(), flags=re.MULTILINE)


def put_together(records: list[Path], name: str) -> None:
    """Writes a record of the rounds of others, which one machine has measured in turn.

    Records of some rows only, such as those that are measured once, join a round each.
    """
    read = [json.loads(path.read_text()) for path in records]
    whole = [dict(r["rounds"][0]) for r in read if "cold" in r["rounds"][0]]
    others = [r["rounds"][0] for r in read if "cold" not in r["rounds"][0]]
    for measured, more in zip(itertools.cycle(whole), others, strict=False):
        measured |= more
    kept = {key: read[0][key] for key in ("platform", "data", "missing", "busy") if key in read[0]}
    record = record_of(whole, **kept) | {
        key: read[0][key] for key in ("date", "machine", "versions")
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    (RESULTS / f"{name}.md").write_text(markdown(record))


def of_versions() -> str:
    """Returns the figures of the version before beside those of now."""
    before, now = (json.loads((RESULTS / f"{n}.json").read_text()) for n in ("before", "latest"))
    names = [record["versions"]["gtzan_jax"] for record in (before, now)]
    lines = [f"| figure | {names[0]} | {names[1]} | target | stretch |", "|---|---|---|---|---|"]
    for key, found in now["figures"].items():
        if key in before["figures"]:
            show, cells = FIGURES[key].show, [FIGURES[key].text]
            for each in (before["figures"][key], found):
                cells.append(f"{show(each['median'])} ({show(each['min'])} … {show(each['max'])})")
            cells += [show(found["target"]), show(found["stretch"])]
            lines.append(f"| {' | '.join(cells)} |")
    rows = list(now["breakdown"])
    heads = [f"{name}, {row.removeprefix('main_')}" for row in rows for name in names]
    lines += ["", f"| part | {' | '.join(heads)} |", f"|---|{'---|' * len(heads)}"]
    for part in now["breakdown"][rows[0]]:
        seconds = [each["breakdown"][row][part] for row in rows for each in (before, now)]
        lines.append(f"| {part} | {' | '.join(f'{value:.1f} s' for value in seconds)} |")
    return "\n".join(lines)


def of_segments(folder: str) -> str:
    """Returns what a sweep on a table of segments took, from its manifest."""
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
    """Rewrites the blocks between the markers."""
    paths = [Path(argument) for argument in sys.argv[1:]]
    if paths and paths[0].suffix == ".json":
        older = [path for path in paths if "before" in path.stem]
        put_together(older, "before")
        put_together([path for path in paths if path not in older], "latest")
    if paths and paths[0].suffix != ".json":
        blocks = {"chunks": of_segments(sys.argv[1])}
    else:
        blocks = {"table": of_benchmarks(), "versions": of_versions()}
    for name, block in blocks.items():
        fill(ROOT / "docs" / "performance.md", name, block)


if __name__ == "__main__":
    main()
