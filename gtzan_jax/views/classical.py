"""The report's section on classical models, from a folder of ``gtzan_jax.baselines``."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from gtzan_jax.errors import InputError
from gtzan_jax.files import refuse_links
from gtzan_jax.rundir.finished import FinishedRun
from gtzan_jax.text import printable
from gtzan_jax.views.text import NOTHING, Table, interval, p_value, points

if TYPE_CHECKING:
    import pandas as pd


class _Table(msgspec.Struct):
    sha256: str


class _Network(msgspec.Struct):
    name: str


class _Baselines(msgspec.Struct):
    """What the report needs of baselines.json."""

    data: _Table
    ours: _Network
    best_classical: str
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


def classical_section(folder: Path | None, images: dict[str, bytes]) -> dict[str, Any] | None:
    """Reads the baselines; None if there are none."""
    if folder is None:
        return None
    try:
        section = _section(folder)
        for name in ("baselines", "importance"):
            images[name] = (folder / f"{name}.png").read_bytes()
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
    scores = pd.read_csv(folder / "baselines.csv").set_index("model", drop=False)
    paired = pd.read_csv(folder / "comparison.csv").set_index("model")
    importance = pd.read_csv(folder / "importance.csv").set_index("feature")
    ours, best = described.ours.name, described.best_classical
    drops = importance["classical_mean"], importance["mlp_mean"]
    return {
        "folder": folder.name,
        "scores": _scores_table(scores, paired),
        "splits": sum(str(column).startswith("split_") for column in scores),
        "selection": described.notes["selection"],
        "notes": described.notes,
        "ours": scores.loc[ours],
        "best": scores.loc[best],
        "paired": paired.loc[best],
        "top_classical": drops[0].idxmax(),
        "top_network": drops[1].idxmax(),
        "agreement": drops[0].corr(drops[1], method="spearman"),
    }


def _scores_table(scores: "pd.DataFrame", paired: "pd.DataFrame") -> Table:
    columns = ["model", "accuracy", "deviation", "fit, s", "predict, s"]
    columns += ["ours minus it, points", "95 % interval", "p"]
    rows = []
    for row in scores.to_dict("records"):
        name = row["model"]
        cells = [name, f"{row['accuracy_mean']:.4f}", f"{row['accuracy_std']:.4f}"]
        cells += [f"{row['fit_seconds']:.2f}", f"{row['predict_seconds']:.3f}"]
        if name in paired.index:
            test = paired.loc[name]
            cells += [points(test["difference"]), interval(test["low"], test["high"])]
            cells.append(p_value(test["p_value"]))
        else:
            cells += [NOTHING] * 3
        rows.append(cells)
    return Table(columns, rows)
