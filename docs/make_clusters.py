"""Fills the figures of runs on a cluster in docs/clusters.md.

python docs/make_clusters.py RUNDIR …
"""

import re
import sys
from pathlib import Path

from pages import fill

from gtzan_jax.rundir.directory import RunDir

PAGE = Path(__file__).with_name("clusters.md")


def of_runs(folders: list[str]) -> str:
    """Returns seconds and memory of finished runs, from their manifests."""
    rows = ["| command | trials | seconds | training | memory, sum of peaks |",
            "|---|---|---|---|---|"]  # fmt: skip
    for folder in folders:
        manifest = RunDir(folder).read_manifest()
        with (Path(folder) / "trials.csv").open() as lines:
            trials = sum(1 for _ in lines) - 1
        command = re.sub(r" --(workdir|overwrite)\S*", "", manifest.sessions[-1].command)
        command = re.sub(r"=tcp://\S+", "=tcp://…", command)
        seconds = manifest.timings_s
        training = seconds["train"] + seconds["compile"]
        rows.append(
            f"| `{command}` | {trials:,} | {seconds['total']:.0f} | {training:.0f} | "
            f"{(manifest.peak_rss_bytes or 0) / 1e9:.2f} GB |"
        )
    return "\n".join(rows)


def main() -> None:
    """Rewrites the block between the markers."""
    fill(PAGE, "runs", of_runs(sys.argv[1:]))


if __name__ == "__main__":
    main()
