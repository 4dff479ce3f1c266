"""The data that all rows of a benchmark share: table, scratch folder, platform."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gtzan_jax.resources import PACKAGE, cache_dir
from gtzan_jax.tables.schema import FILE_NAME, FeatureTable

Measurement = dict[str, Any]  # numbers by name; "seconds" is the result of the row


@dataclass
class Context:
    """The data that rows share.

    Attributes:
      csv: the feature table.
      scratch: a temporary folder.
      platform: where gtzan_jax computes.
      quick: whether to project from less work where possible.
      caches: compilation caches that runs have filled, in that order.
      chosen: the variant of each peer that was fastest in a short trial.
    """

    csv: Path
    scratch: Path
    platform: str = "cpu"
    quick: bool = False
    caches: list[Path] = field(default_factory=list)
    chosen: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def folder(self, name: str) -> Path:
        """Returns a new, empty folder."""
        number = sum(1 for _ in self.scratch.iterdir())
        path = self.scratch / f"{name}-{number}"
        path.mkdir(mode=0o700)
        return path


def csv_of(table: FeatureTable, scratch: Path) -> Path:
    """Returns the path of the CSV of a table; writes that of the sample."""
    if table.is_sample:
        from gtzan_jax.tables.sample import sample_text

        path = scratch / "sample.csv"
        path.write_text(sample_text(), encoding="utf-8")
        return path
    if table.source == "kaggle":
        return cache_dir() / FILE_NAME
    given = Path(table.source).expanduser()
    return given.resolve() if given.is_file() else PACKAGE.parent / given
