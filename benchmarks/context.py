"""What all rows of a benchmark share: the table, a scratch folder, the platform."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gtzan_jax.resources import PACKAGE, cache_dir
from gtzan_jax.tables.schema import FILE_NAME, FeatureTable

Measurement = dict[str, Any]  # numbers by name; "seconds" is what the row is about


@dataclass
class Context:
    """What a row may need to know.

    Attributes:
      csv: the feature table, for processes that look it up nowhere else.
      scratch: an empty folder that is removed afterwards.
      platform: where gtzan_jax computes.
      quick: whether to project from less work where that is possible.
      caches: compilation caches that runs have filled, the last one filled last.
      chosen: for a peer the variant that a short trial found fastest.
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
    """Returns the path of the CSV that a table came from; the sample is written out."""
    if table.is_sample:
        from gtzan_jax.tables.sample import sample_text

        path = scratch / "sample.csv"
        path.write_text(sample_text(), encoding="utf-8")
        return path
    if table.source == "kaggle":
        return cache_dir() / FILE_NAME
    given = Path(table.source).expanduser()
    return given.resolve() if given.is_file() else PACKAGE.parent / given
