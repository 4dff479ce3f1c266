"""The report's section on classical models, from folders of ``gtzan_jax.baselines``."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from markupsafe import Markup

from gtzan_jax.analysis.inference import FEWEST_SPLITS
from gtzan_jax.errors import InputError
from gtzan_jax.files import refuse_links
from gtzan_jax.rundir.finished import FinishedRun
from gtzan_jax.tables.protocols import ARTISTS_APART, PROTOCOLS
from gtzan_jax.tables.schema import data_note
from gtzan_jax.text import printable
from gtzan_jax.views.sections.section import code
from gtzan_jax.views.sections.selection import whose_songs
from gtzan_jax.views.text import NOTHING, Table, interval, points

if TYPE_CHECKING:
    import pandas as pd


BEST = "best of the other models"  # not "classical": scikit-learn's MLP is among them


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
    sweep: str


class _Baselines(msgspec.Struct):
    """The part of baselines.json that the report shows."""

    data: _Data
    protocols: list[_Protocol]
    ours: _Network
    best_classical: dict[str, str]
    best_chosen_on: str
    notes: dict[str, str]


class _Source(NamedTuple):
    """The files of a folder of baselines."""

    folder: Path
    described: _Baselines
    scores: "pd.DataFrame"
    paired: "pd.DataFrame"
    importance: "pd.DataFrame"
    picture: bytes  # of the importance


def find_baselines(run: FinishedRun, folders: Sequence[str]) -> list[Path]:
    """Returns the folders of baselines of a run's feature table, the newest first.

    Without ``folders`` they are searched beside the run directory: every ``baselines-*``.

    Raises:
      InputError: one of ``folders`` holds a link, no baselines, or those of another feature table.
    """
    checksum = run.manifest.data.sha256
    beside = run.run.path.resolve().parent.glob("baselines-*")
    found = {} if folders else {path: _checksum(path) for path in beside}
    for folder in folders:
        refuse_links(Path(folder))
        found[Path(folder)] = of = _checksum(Path(folder))
        if of is None:
            raise InputError(
                f"--baselines={folder}: no baselines.json and baselines.csv that can be used"
            )
        if of != checksum:
            raise InputError(f"--baselines={folder}: made from another feature table than the run")
    return sorted(
        (path for path, of in found.items() if of == checksum),
        key=lambda path: ((path / "baselines.json").stat().st_mtime, path.name),
        reverse=True,
    )


def classical_section(run: FinishedRun, folders: Sequence[Path]) -> dict[str, Any] | None:
    """Reads baselines and draws them by protocol; None if there are none.

    Of several folders with one protocol the first counts.

    Raises:
      InputError: they are damaged, or not what this version writes.
    """
    if not folders:
        return None
    read, reading = [], list(folders)  # those to blame: one that is read, else all of them
    try:
        for folder in folders:
            reading = [folder]
            read.append(_source(folder))
        reading = list(folders)
        return _section(run, read)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        reason = printable(f"{type(error).__name__}: {error}")
        raise InputError(
            f"{printable(', '.join(map(str, reading)))}: files cannot be used ({reason}); remove "
            "the folder, or name others with --baselines"
        ) from None


def _source(folder: Path) -> _Source:
    import pandas as pd

    names = ("baselines", "comparison", "importance")
    scores, paired, importance = (pd.read_csv(folder / f"{name}.csv") for name in names)
    picture = (folder / "importance.png").read_bytes()
    return _Source(folder, _read(folder), scores, paired, importance.set_index("feature"), picture)


def _read(folder: Path) -> _Baselines:
    return msgspec.json.decode((folder / "baselines.json").read_bytes(), type=_Baselines)


def _checksum(folder: Path) -> str | None:
    """Returns the checksum of the feature table that baselines are of; None if there are none."""
    try:
        refuse_links(folder)
        checksum = _read(folder).data.sha256
    except (InputError, OSError, ValueError, RecursionError):
        return None
    return checksum if (folder / "baselines.csv").is_file() else None


def _section(run: FinishedRun, sources: Sequence[_Source]) -> dict[str, Any]:
    import pandas as pd

    from gtzan_jax.views import plots

    # By protocol: its description and its files, from the first source that has it.
    known = {
        p.name: (p, source) for source in reversed(sources) for p in source.described.protocols
    }
    known = {name: known[name] for name in (*PROTOCOLS, *known) if name in known}
    described = {name: protocol for name, (protocol, _) in known.items()}
    owners = {name: source for name, (_, source) in known.items()}
    parts, protocols = owners.items(), list(described.values())
    plain = pd.concat([o.scores[o.scores["protocol"] == name] for name, o in parts])
    paired = pd.concat([o.paired[o.paired["protocol"] == name] for name, o in parts])
    scores = plain.set_index(["protocol", "model"], drop=False)
    paired = paired.set_index(["protocol", "model"])
    names = {name: (o.described.ours.name, o.described.best_classical[name]) for name, o in parts}
    # New artists count most; a leaky protocol counts only where all leak.
    sound = [p.name for p in protocols if not p.leak] or list(described)
    trusted = next((name for name in ARTISTS_APART if name in sound), sound[-1])
    owner, (ours, best) = owners[trusted], names[trusted]
    by_protocol = _by_protocol(scores, protocols, names)
    drops = owner.importance["classical_mean"], owner.importance["mlp_mean"]
    agreement = round(float(drops[0].corr(drops[1], method="spearman")), 2)
    leaky = [protocol.name for protocol in protocols if protocol.leak]
    chosen_on = " or ".join(sorted({o.described.best_chosen_on for _, o in parts}))
    note = data_note(run.manifest.data.source, run.manifest.data.rows_note)
    figure = plots.accuracy_by_protocol(plain, ARTISTS_APART, ours, note, leaky)
    return {
        "figure": figure,
        "importance": owner.picture,
        "sources": _told(sources, owners, described),
        "protocols": described,
        "trusted": described[trusted].label,
        "leak": described[trusted].leak,
        "readings": {name: scores.loc[(name, names[name][0])] for name in described},
        "folders": {name: o.folder.name for name, o in parts},
        "sweeps": {name: o.described.ours.sweep for name, o in parts},
        "by_protocol": by_protocol,
        "finding": _finding(by_protocol, chosen_on),
        "bars": _bars(run, by_protocol),
        "accuracies": _accuracies_table(plain, protocols, trusted),
        "scores": _scores_table(scores, paired, described),
        "summaries": Table(
            ("protocol", "what it does", "what its numbers mean"),
            [[p.label, p.summary, " ".join([p.note, *p.left_out])] for p in protocols],
        ),
        "tuning": owner.described.notes["selection"],
        "budget": owner.described.notes.get("budget", ""),
        "notes": {k: v for source in reversed(sources) for k, v in source.described.notes.items()},
        "ours": scores.loc[(trusted, ours)],
        "best": scores.loc[(trusted, best)],
        "chosen_on": owner.described.best_chosen_on,
        "verdict": _verdict(paired.loc[(trusted, best)], best),
        "top_classical": drops[0].idxmax(),
        "top_network": drops[1].idxmax(),
        "agreement": agreement + 0.0,  # of which -0.0 becomes 0.0
    }


def _told(
    sources: Sequence[_Source], owners: dict[str, _Source], described: dict[str, _Protocol]
) -> list[str]:
    """Returns the sentences on the folders that figures are from, and on older figures there."""
    several = len({source.described.ours.sweep for source in owners.values()}) > 1
    used, older = [], []
    for source in sources:
        folder = code(source.folder.name)
        if here := [p.label for name, p in described.items() if owners[name] is source]:
            sweep = f", with networks of the sweep {source.described.ours.sweep}" if several else ""
            used.append(folder + f": {', '.join(here)}{sweep}")
        if there := [p.name for p in source.described.protocols if owners[p.name] is not source]:
            older.append(
                folder + f" has older figures under {', '.join(there)}, which are left out."
            )
    return ["From " + Markup("; from ").join(used) + ".", *older]


def _by_protocol(
    scores: "pd.DataFrame", protocols: Sequence[_Protocol], names: dict[str, tuple[str, str]]
) -> "pd.DataFrame":
    """Returns our network and the best other model, as ``plots.accuracy_rows`` takes them."""
    import pandas as pd

    rows = []
    for protocol in protocols:
        ours, best = names[protocol.name]
        kind = {"apart": protocol.name in ARTISTS_APART, "leaks": bool(protocol.leak)}
        for series, model in ((ours, ours), (BEST, best)):
            row: Any = scores.loc[(protocol.name, model)]
            ends = {column: float(row[column]) for column in ("accuracy", "low", "high")}
            label = {"label": protocol.label, "series": series, "model": model}
            rows.append(label | kind | ends)
    return pd.DataFrame(rows).sort_values("apart", kind="stable")


def _finding(rows: "pd.DataFrame", chosen_on: str) -> str:
    """Returns the range of our network and the best other model, without leaky protocols."""
    rows = rows if rows["leaks"].all() else rows[~rows["leaks"]]
    spans = {apart: _span(found) for apart, found in rows.groupby("apart")["accuracy"]}
    others = rows.loc[rows["series"] == BEST, "model"].unique()
    both = f"Our network and the {BEST} by {chosen_on} accuracy, {' or '.join(others)}, reach"
    if len(spans) < 2:
        return f"{both} {next(iter(spans.values()))}."
    return f"{both} {spans[False]} on random splits, {spans[True]} with each artist on one side."


def _bars(run: FinishedRun, rows: "pd.DataFrame") -> str:
    """Explains the intervals of accuracies."""
    kinds = set(rows.loc[rows["low"].notna(), "apart"])
    if not kinds:
        return ""
    known = whose_songs(run, "kfold")
    whose = "other artists" if True in kinds else known
    if len(kinds) == 2:
        whose = f"{whose} with each artist on one side, {known} on random splits"
    return (
        f"Bars: 95 % intervals for {whose}; clusters allow for likeness; fitted models, train "
        "parts and seeds held fixed."
    )


def _verdict(paired: Any, best: str) -> str:
    """Describes the difference of our network and another, a row of ``comparison_table``."""
    difference = f"a difference of {points(paired['difference'])} points"
    low, high = float(paired["low"]), float(paired["high"])
    if math.isnan(low):
        return f"{difference}, of which there is no interval"
    how = "with refitting" if paired["with_refitting"] else "of these fitted models only"
    told = f"{difference}, 95 % interval {interval(low, high)} {how}"
    better = "our network" if low > 0 else best
    if low <= 0 <= high:
        return f"{told}, so that neither can be called better"
    if paired["with_refitting"]:
        return f"{told}, so that {better} is better"
    return (
        f"{told}, of which {better} is the better. Refitted ones may differ: an interval that "
        f"includes refitting takes {FEWEST_SPLITS} folds"
    )


def _span(values: "pd.Series[float]") -> str:
    return " to ".join(dict.fromkeys(f"{value:.2f}" for value in (values.min(), values.max())))


def _accuracies_table(scores: "pd.DataFrame", protocols: list[_Protocol], trusted: str) -> Table:
    """Tabulates models by protocols, the best under the one to trust first."""
    grid = scores.pivot(index="model", columns="protocol", values="accuracy")
    grid = grid.sort_values(trusted, ascending=False, kind="stable")[[p.name for p in protocols]]
    rows = [[str(model), *(_or_nothing(v, 3) for v in row)] for model, *row in grid.itertuples()]
    return Table(["model", *(p.label for p in protocols)], rows)


def _scores_table(
    scores: "pd.DataFrame", paired: "pd.DataFrame", protocols: dict[str, _Protocol]
) -> Table:
    columns = ["protocol", "model", "accuracy", "95 % interval", "deviation over folds"]
    columns += ["settings tried", "seeds", "fit, s", "predict, s"]
    columns += ["ours minus it, points", "95 % interval of that", "interval of"]
    rows = []
    for key, row in zip(scores.index, scores.to_dict("records"), strict=True):
        cells = [protocols[row["protocol"]].label, row["model"], f"{row['accuracy']:.4f}"]
        ends = f"{row['low']:.3f} to {row['high']:.3f}" if row["low"] == row["low"] else NOTHING
        cells += [ends, _or_nothing(row["accuracy_std"], 4)]
        cells += [_or_nothing(row["settings_tried"], 0), _or_nothing(row["seeds"], 0)]
        cells += [f"{row['fit_seconds']:.2f}", f"{row['predict_seconds']:.3f}"]
        if key in paired.index:
            test = paired.loc[key]
            cells += [points(test["difference"]), interval(test["low"], test["high"])]
            cells += ["refitted models" if test["with_refitting"] else "these fitted models only"]
        else:
            cells += [NOTHING] * 3
        rows.append(cells)
    return Table(columns, rows)


def _or_nothing(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if value == value else NOTHING
