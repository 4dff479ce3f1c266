"""Baselines of a run's feature table, read from folders of ``gtzan_jax.baselines``."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec

from gtzan_jax.errors import InputError
from gtzan_jax.files import refuse_links
from gtzan_jax.rundir.finished import FinishedRun
from gtzan_jax.tables.protocols import ARTISTS_APART, PROTOCOLS
from gtzan_jax.tables.schema import Columns
from gtzan_jax.text import printable
from gtzan_jax.views.sections.selection import whose_songs

if TYPE_CHECKING:
    import pandas as pd


BEST = "best other model"  # not "classical": scikit-learn's MLP is among them
_OF = ("protocol", "model")
_KINDS = {  # of protocols: one of them, and words
    "random": ("assignment", "on random splits"),
    "leak": ("leaky_segments", "under a protocol that leaks"),
    "apart": (ARTISTS_APART[0], "with each artist on one side"),
}
_FIGURES = (
    "accuracy", "low", "high", "accuracy_std", "settings_tried", "seeds", "fit_seconds",
    "predict_seconds",
)  # fmt: skip
_FILES: dict[str, dict[str, Any]] = {  # the columns that are shown
    "baselines": dict.fromkeys(_OF, str) | dict.fromkeys(_FIGURES, float),
    "comparison": dict.fromkeys(_OF, str)
    | dict.fromkeys(("difference", "low", "high"), float)
    | {"with_refitting": bool},
    "importance": {"feature": str, "classical_mean": float, "mlp_mean": float},
}


class _Data(msgspec.Struct):
    sha256: str
    columns: Columns = Columns()


class _Protocol(msgspec.Struct):
    name: str
    summary: str
    note: str
    left_out: list[str] = []
    leak: str = ""

    @property
    def label(self) -> str:
        """The name, with LEAK if it leaks."""
        return f"{self.name} ({self.leak.partition(':')[0]})" if self.leak else self.name


class _Network(msgspec.Struct):
    name: str
    sweep: str


class _Description(msgspec.Struct):
    """The part of baselines.json that the report shows."""

    data: _Data
    protocols: list[_Protocol]
    ours: _Network
    best_classical: dict[str, str]
    best_chosen_on: Literal["validation"]
    notes: dict[str, str]


class Source(NamedTuple):
    """The files of a folder of baselines."""

    folder: Path
    described: _Description
    scores: "pd.DataFrame"
    paired: "pd.DataFrame"
    importance: "pd.DataFrame"
    picture: bytes  # of the importance


class Baselines(NamedTuple):
    """Baselines of a feature table, for each protocol from the newest folder."""

    protocols: dict[str, _Protocol]
    sources: dict[str, Source]  # by protocol
    scores: "pd.DataFrame"  # a row for each protocol and model
    paired: "pd.DataFrame"  # likewise, differences between our network and the others
    pairs: "pd.DataFrame"  # our network and the best other model, for ``plots.accuracy_rows``

    @property
    def trusted(self) -> str:
        """The protocol to trust: new artists first, a leaky one only if all leak."""
        sound = [name for name, p in self.protocols.items() if not p.leak] or list(self.protocols)
        return next((name for name in ARTISTS_APART if name in sound), sound[-1])

    def pair(self, protocol: str) -> tuple[Any, Any]:
        """Returns the scores of our network and of the best other model under a protocol."""
        found = self.pairs[self.pairs["protocol"] == protocol]
        return found.iloc[0], found.iloc[1]

    @property
    def finding(self) -> str:
        """A sentence on both models' range of accuracy, without leaky protocols."""
        leaks = self.pairs["kind"] == "leak"
        rows = self.pairs if leaks.all() else self.pairs[~leaks]
        spans = {
            bool(apart): " to ".join(dict.fromkeys(f"{end:.2f}" for end in (of.min(), of.max())))
            for apart, of in rows["accuracy"].groupby(rows["kind"] == "apart")
        }
        if len(spans) > 1:
            spans[False] += " on random splits"
            spans[True] += " with each artist on one side"
        others = " or ".join(rows.loc[rows["series"] == BEST, "model"].unique())
        both = f"Our network and the {BEST} by validation accuracy, {others}"
        return f"{both}: {', '.join(spans.values())}."

    def bars(self, run: FinishedRun) -> str:
        """Returns a sentence on the intervals, if any, for a run on the same table."""
        plain = run.manifest.data.is_of_songs and not run.words.is_grouped
        kinds = set(self.pairs.loc[self.pairs["low"].notna(), "kind"])
        spans = [
            f"{whose_songs(run, protocol)}{f' {where}' * plain}"
            for kind, (protocol, where) in _KINDS.items()
            if kind in kinds
        ]
        return f"Bars: 95 % intervals of these fitted models, for {', '.join(spans)}." * bool(spans)


def find_baselines(run: FinishedRun, folders: Sequence[str]) -> list[Path]:
    """Returns the folders of baselines of a run's feature table, the newest first.

    Without ``folders`` it searches beside the run directory: every ``baselines-*``.

    Raises:
      InputError: one of ``folders`` has a link, no baselines, or those of another feature table
        or other columns.
    """
    mine = _Data(run.manifest.data.sha256, run.manifest.data.columns)
    beside = run.run.path.resolve().parent.glob("baselines-*")
    found = {} if folders else {path: _data_of(path) for path in beside}
    for folder in folders:
        refuse_links(Path(folder))
        found[Path(folder)] = of = _data_of(Path(folder))
        if of is None:
            raise InputError(
                f"--baselines={folder}: no baselines.json and baselines.csv that can be used"
            )
        if of.sha256 != mine.sha256:
            raise InputError(f"--baselines={folder}: made from another feature table than the run")
        if of != mine:
            raise InputError(f"--baselines={folder}: made with other columns than the run")
    return sorted(
        (path for path, of in found.items() if of == mine),
        key=lambda path: ((path / "baselines.json").stat().st_mtime, path.name),
        reverse=True,
    )


def read_baselines(folders: Sequence[Path]) -> Baselines | None:
    """Reads baselines; None without folders. The first folder with a protocol counts.

    Raises:
      InputError: the files are damaged, or of another version.
    """
    protocols, sources, of_each = {}, {}, {}
    for folder in folders:
        try:
            source = _read(folder)
            for protocol in source.described.protocols:
                if protocol.name not in protocols:
                    of_each[protocol.name] = _of_protocol(source, protocol)
                    protocols[protocol.name], sources[protocol.name] = protocol, source
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            reason = printable(f"{type(error).__name__}: {error}")
            raise InputError(
                f"{printable(folder)}: files cannot be used ({reason}); remove the folder, or name "
                "others with --baselines"
            ) from None
    if not protocols:
        return None
    import pandas as pd

    order = [name for name in dict.fromkeys((*PROTOCOLS, *protocols)) if name in protocols]
    scores, paired, pairs = (pd.concat([of_each[name][i] for name in order]) for i in range(3))
    pairs = pairs.sort_values(
        "kind", key=lambda of: of == "apart", ignore_index=True, kind="stable"
    )
    return Baselines({n: protocols[n] for n in order}, sources, scores, paired, pairs)


def _read(folder: Path) -> Source:
    import pandas as pd

    scores, paired, importance = (
        pd.read_csv(folder / f"{name}.csv", usecols=list(types), dtype=types)
        for name, types in _FILES.items()
    )
    described = _describe(folder)
    described.notes["selection"]  # raises where there is none
    picture = (folder / "importance.png").read_bytes()
    return Source(folder, described, scores, paired, importance, picture)


def _of_protocol(
    source: Source, protocol: _Protocol
) -> tuple["pd.DataFrame", "pd.DataFrame", "pd.DataFrame"]:
    """Returns a protocol's scores and differences, and the rows of our network and the best."""
    scores, paired = (
        frame[frame["protocol"] == protocol.name] for frame in (source.scores, source.paired)
    )
    ours, best = source.described.ours.name, source.described.best_classical[protocol.name]
    paired.set_index("model").loc[best]  # raises where there is none
    pair = scores.set_index("model", drop=False).loc[[ours, best]]
    apart = protocol.name in ARTISTS_APART or source.described.data.columns.group
    kind = "apart" if apart else "leak" if protocol.leak else "random"
    return scores, paired, pair.assign(label=protocol.label, series=[ours, BEST], kind=kind)


def _describe(folder: Path) -> _Description:
    return msgspec.json.decode((folder / "baselines.json").read_bytes(), type=_Description)


def _data_of(folder: Path) -> _Data | None:
    """Returns the feature table of baselines; None without usable files."""
    try:
        refuse_links(folder)
        data = _describe(folder).data
    except (InputError, OSError, ValueError, RecursionError):
        return None
    return data if (folder / "baselines.csv").is_file() else None
