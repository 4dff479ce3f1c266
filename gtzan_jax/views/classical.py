"""The report's section on classical models, from a folder of ``gtzan_jax.baselines``."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from gtzan_jax.errors import InputError
from gtzan_jax.files import refuse_links
from gtzan_jax.rundir.finished import FinishedRun
from gtzan_jax.tables.protocols import ARTISTS_APART
from gtzan_jax.text import printable
from gtzan_jax.views.sections.pictures import Pictures
from gtzan_jax.views.text import NOTHING, Table, interval, points

if TYPE_CHECKING:
    import pandas as pd


class _Data(msgspec.Struct):
    sha256: str


class _Protocol(msgspec.Struct):
    name: str
    summary: str
    note: str
    left_out: list[str] = []
    leak: str = ""

    @property
    def label(self) -> str:
        """The name, and LEAK behind it where there is one."""
        return f"{self.name} ({self.leak.partition(':')[0]})" if self.leak else self.name


class _Network(msgspec.Struct):
    name: str


class _Baselines(msgspec.Struct):
    """What the report needs of baselines.json."""

    data: _Data
    protocols: list[_Protocol]
    ours: _Network
    best_classical: dict[str, str]
    notes: dict[str, str]


def find_baselines(run: FinishedRun, folder: str | None) -> Path | None:
    """Returns the folder of baselines that belongs to a run; None if there is none.

    Args:
      run: the run.
      folder: which one; None takes the newest ``baselines-*`` beside the run directory that is
        of the same feature table.

    Raises:
      InputError: ``folder`` holds a link, no baselines, or those of another feature table.
    """
    checksum = run.manifest.data.sha256
    if folder is not None:
        refuse_links(Path(folder))
        found = _checksum(Path(folder))
        if found is None:
            raise InputError(
                f"--baselines={folder}: no baselines.json and baselines.csv that can be used"
            )
        if found != checksum:
            raise InputError(f"--baselines={folder}: made from another feature table than the run")
        return Path(folder)
    beside = run.run.path.resolve().parent.glob("baselines-*")
    fitting = [path for path in beside if _checksum(path) == checksum]
    return max(fitting, key=lambda path: (path / "baselines.json").stat().st_mtime, default=None)


def classical_section(folder: Path | None, pictures: Pictures) -> dict[str, Any] | None:
    """Reads the baselines; None if there are none.

    Raises:
      InputError: they are damaged, or not what this version writes.
    """
    if folder is None:
        return None
    try:
        section = _section(folder)
        for name in ("baselines", "importance"):
            pictures[f"{name}.png"] = (folder / f"{name}.png").read_bytes()
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        reason = printable(f"{type(error).__name__}: {error}")
        raise InputError(f"{folder}: its files cannot be used ({reason})") from None
    return section


def _read(folder: Path) -> _Baselines:
    """Reads baselines.json; raises OSError, ValueError or RecursionError."""
    return msgspec.json.decode((folder / "baselines.json").read_bytes(), type=_Baselines)


def _checksum(folder: Path) -> str | None:
    """Returns the checksum of the feature table that baselines are of; None if there are none."""
    try:
        refuse_links(folder)
        checksum = _read(folder).data.sha256
    except (OSError, ValueError, RecursionError):
        return None
    return checksum if (folder / "baselines.csv").is_file() else None


def _section(folder: Path) -> dict[str, Any]:
    import pandas as pd

    described = _read(folder)
    scores = pd.read_csv(folder / "baselines.csv").set_index(["protocol", "model"], drop=False)
    paired = pd.read_csv(folder / "comparison.csv").set_index(["protocol", "model"])
    importance = pd.read_csv(folder / "importance.csv").set_index("feature")
    protocols = {protocol.name: protocol for protocol in described.protocols}
    ours, trusted = described.ours.name, _trusted(described.protocols)
    best = described.best_classical[trusted]
    by_protocol = _by_protocol(scores, described)
    drops = importance["classical_mean"], importance["mlp_mean"]
    return {
        "folder": folder.name,
        "protocols": protocols,
        "trusted": protocols[trusted].label,
        "leak": protocols[trusted].leak,
        "trusted_apart": trusted in ARTISTS_APART,
        "by_protocol": by_protocol,
        "finding": _finding(by_protocol),
        "accuracies": _accuracies_table(scores, described.protocols, trusted),
        "scores": _scores_table(scores, paired, protocols),
        "summaries": _summaries_table(described.protocols),
        "tuning": described.notes["selection"],
        "notes": described.notes,
        "ours": scores.loc[(trusted, ours)],
        "best": scores.loc[(trusted, best)],
        "paired": paired.loc[(trusted, best)],
        "top_classical": drops[0].idxmax(),
        "top_network": drops[1].idxmax(),
        "agreement": drops[0].corr(drops[1], method="spearman"),
    }


def _trusted(protocols: list[_Protocol]) -> str:
    """Returns the protocol whose figures hold for music that nobody has heard yet.

    That is one that leaks only where there is no other.
    """
    sound = [p.name for p in protocols if not p.leak] or [p.name for p in protocols]
    apart = [name for name in ARTISTS_APART if name in sound]
    return apart[0] if apart else sound[-1]


def _by_protocol(scores: "pd.DataFrame", described: _Baselines) -> "pd.DataFrame":
    """Returns our network and the best classical model, as ``plots.accuracy_rows`` takes them."""
    import pandas as pd

    rows = []
    for protocol in described.protocols:
        best = described.best_classical[protocol.name]
        for series, model in ((described.ours.name, described.ours.name), (_BEST, best)):
            row: Any = scores.loc[(protocol.name, model)]
            ends = {column: float(row[column]) for column in ("accuracy", "low", "high")}
            apart = protocol.name in ARTISTS_APART
            kind = {"apart": apart, "leaks": bool(protocol.leak)}
            rows.append({"label": protocol.label, "series": series} | kind | ends)
    return pd.DataFrame(rows).sort_values("apart", kind="stable")


def _finding(rows: "pd.DataFrame") -> str:
    """Returns what the protocols say of our network and the best classical models together.

    Those that leak have no say where there are others.
    """
    rows = rows if rows["leaks"].all() else rows[~rows["leaks"]]
    spans = {
        apart: f"{found.min():.2f} to {found.max():.2f}"
        for apart, found in rows.groupby("apart")["accuracy"]
    }
    both = "Our network and the best classical model read"
    if len(spans) < 2:
        return f"{both} {next(iter(spans.values()))}."
    return f"{both} {spans[False]} on random splits, {spans[True]} with each artist on one side."


_BEST = "best classical model"


def _accuracies_table(scores: "pd.DataFrame", protocols: list[_Protocol], trusted: str) -> Table:
    """Lays accuracies out, models by protocols, the best under the one to trust first."""
    grid = scores.reset_index(drop=True).pivot(index="model", columns="protocol", values="accuracy")
    grid = grid.sort_values(trusted, ascending=False, kind="stable")[[p.name for p in protocols]]
    rows = [[str(model), *(f"{value:.3f}" for value in row)] for model, *row in grid.itertuples()]
    return Table(["model", *(p.label for p in protocols)], rows)


def _scores_table(
    scores: "pd.DataFrame", paired: "pd.DataFrame", protocols: dict[str, _Protocol]
) -> Table:
    columns = ["protocol", "model", "accuracy", "95 % interval", "deviation over folds"]
    columns += ["fit, s", "predict, s", "ours minus it, points", "95 % interval of that"]
    rows = []
    for key, row in zip(scores.index, scores.to_dict("records"), strict=True):
        cells = [protocols[row["protocol"]].label, row["model"], f"{row['accuracy']:.4f}"]
        cells += [f"{row['low']:.3f} to {row['high']:.3f}", _or_nothing(row["accuracy_std"])]
        cells += [f"{row['fit_seconds']:.2f}", f"{row['predict_seconds']:.3f}"]
        if key in paired.index:
            test = paired.loc[key]
            cells += [points(test["difference"]), interval(test["low"], test["high"])]
        else:
            cells += [NOTHING] * 2
        rows.append(cells)
    return Table(columns, rows)


def _or_nothing(value: float) -> str:
    return f"{value:.4f}" if value == value else NOTHING


def _summaries_table(protocols: list[_Protocol]) -> Table:
    rows = [[p.label, p.summary, " ".join([p.note, *p.left_out])] for p in protocols]
    return Table(("protocol", "what it does", "what its numbers mean"), rows)
