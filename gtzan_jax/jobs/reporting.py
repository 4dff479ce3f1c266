"""Writes the report on a finished sweep: RUNDIR/report.html, a page that needs nothing else."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from gtzan_jax.assignment import claims
from gtzan_jax.errors import InputError, described
from gtzan_jax.files import write_atomically
from gtzan_jax.resources import resource
from gtzan_jax.rundir.finished import FinishedRun, table_of
from gtzan_jax.tables.protocols import PROTOCOLS
from gtzan_jax.tables.schema import FeatureTable
from gtzan_jax.text import command_line, flag, printable
from gtzan_jax.views import classical, text
from gtzan_jax.views.sections import pictures
from gtzan_jax.views.sections.answers import answers_section
from gtzan_jax.views.sections.artists import baselines_command
from gtzan_jax.views.sections.effects import effects_section
from gtzan_jax.views.sections.limits import limits_section
from gtzan_jax.views.sections.papers import papers_section
from gtzan_jax.views.sections.retrained import retrained_section, retrainings_table
from gtzan_jax.views.sections.selection import selection_section
from gtzan_jax.views.sections.table import table_section

SECTIONS = {
    "answers": "Answers",
    "effects": "Which hyperparameter matters",
    "selection": "How sure the best one is",
    "claims": "The assignment's claims",
    "retrained": "The retrained networks",
    "classical": "Deep against classical",
    "table": "All configurations",
    "papers": "The run's papers",
    "limits": "Limits",
}


@dataclass(frozen=True)
class Report:
    """The page, and why figures that need the feature table are left out; "" if none are."""

    html: str
    missing_table: str

    def __repr__(self) -> str:
        return f"Report({len(self.html):,} letters of HTML)"


def write_report(
    runs: Sequence[FinishedRun],
    data: str | None = None,
    baselines: Sequence[str] = (),
    output: str | Path | None = None,
) -> Path:
    """Writes the report on the first of some runs, and says where it is.

    Args:
      runs: the others are asked about the assignment's claims, too.
      data: the feature table, if it is neither in data/ nor in the cache.
      baselines: folders of ``gtzan_jax.baselines``; none takes all that lie beside the run and
        are of the same feature table.
      output: the page; None for report.html in the run directory.

    Returns:
      the path of the page.

    Raises:
      InputError: an argument is not what it should be, or the page cannot be written.
    """
    run, *others = runs
    path = Path(output or run.run.path / "report.html")
    if path.suffix != ".html":
        raise InputError(f"{flag('output', path)}: name a file that ends in .html")
    report = build(run, others, data, baselines)
    save(report, path)
    print(printable(f"report in {path}"))
    if report.missing_table:
        print(f"  without the figures that need the tracks: {report.missing_table}")
    return path


def build(
    run: FinishedRun,
    others: Sequence[FinishedRun] = (),
    data: str | None = None,
    baselines: Sequence[str] = (),
) -> Report:
    """Makes the report on a run."""
    beside = classical.find_baselines(run, baselines)
    table, missing = table_of(run, data)
    images: pictures.Pictures = {}
    selected = selection_section(run, images)
    retrained = retrained_section(run, images)
    compared = classical.classical_section(run, beside, images)
    claimed = claims_section(run, others, table)
    context = {
        "sections": {key: title for key, title in SECTIONS.items() if claimed or key != "claims"},
        "run": run,
        "leak": leak_of(run),
        "missing_table": missing,
        "answers": answers_section(run, selected, retrained, compared, images, table, data),
        **effects_section(run, images),
        "selected": selected,
        "claims": claimed,
        "retrained": retrained,
        "retrainings": retrainings_table(run),
        "classical": compared,
        **table_section(run, images),
        **papers_section(run),
        "limits": limits_section(run, table),
        "has": functools.partial(pictures.file_of, images),
        "markup": functools.partial(pictures.markup, images),
        "commands": _commands(run, data),
    }
    page = _environment().get_template("report.html.j2").render(context)
    return Report(page.replace(" %", "\N{NO-BREAK SPACE}%"), missing)  # on one line


def _commands(run: FinishedRun, data: str | None) -> dict[str, str]:
    """Returns the commands that add what the run lacks; ``data`` says where its table is."""
    workdir = f"--workdir={run.run.path}"
    return {
        "baselines": baselines_command(run, data, "all"),
        "retrain": command_line("retrain", [workdir]),
        "retrain_holdout": command_line("retrain", [workdir, "--protocol=holdout"]),
    }


def leak_of(run: FinishedRun) -> str:
    """Returns the warning of a run, or of its retrainings, that leak; "" if none does."""
    leaks = {"of the sweep": run.protocol.leak}
    for name, saved in run.retrainings.items():
        which = "of the retrained networks" if name == "best" else f"of the retraining {name}"
        leaks[which] = PROTOCOLS[saved.about.protocol].leak
    told = [which for which, leak in leaks.items() if leak]
    if not told:
        return ""
    which = "here" if len(told) == len(leaks) else " or ".join(told)
    return (
        f"{leaks[told[0]]}. No figure {which} says anything about songs that were not trained on."
    )


def save(report: Report, path: Path) -> None:
    """Writes the page to ``path``; a link there is replaced.

    Raises:
      InputError: it cannot be written there.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, report.html)
    except OSError as error:
        raise InputError(f"{described(error)}: cannot be written; see --output") from None


def claims_section(
    run: FinishedRun, others: Sequence[FinishedRun], table: FeatureTable | None
) -> dict[str, Any] | None:
    """Returns each claim with what every run says of it; None if they are of other axes.

    Raises:
      InputError: a further run has no say about the claims.
    """
    runs = (run, *others)
    for each in runs:
        if not claims.concern(each.sweep) and others:
            raise InputError(
                f"{each.run.path}: further runs are asked about the assignment's claims, and "
                "this sweep has other axes, or another protocol, than the assignment"
            )
    if not claims.concern(run.sweep):
        return None
    tables = [table]
    for other in others:
        same = table and table.sha256 == other.manifest.data.sha256
        tables.append(table if same else table_of(other, None)[0])
    judged = [claims.judge(each, its) for each, its in zip(runs, tables, strict=True)]
    names = [f"{each.name} ({each.sweep.loss})" for each in runs]
    rows = [
        {"claim": found[0], "found": list(zip(names, found, strict=True))}
        for found in zip(*judged, strict=True)
    ]
    return {
        "rows": rows,
        "names": names,
        "notes": claims.NOTES,
        "losses": {each.sweep.loss for each in runs},
        "floor": claims.softmax_twice_floor(len(run.manifest.data.genres)),
    }


def _environment() -> jinja2.Environment:
    """Returns what renders a template; whatever a template prints is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(resource("views", "templates")),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "verdict": _verdict,
        "percent": text.percent,
        "points": text.points,
        "counted": text.counted,
    }
    return environment


def _verdict(claim: claims.Claim) -> str:
    """Returns whether a claim is compatible with a run, in words."""
    words = {True: "compatible", False: "not compatible", None: "undecided"}
    return words[claim.compatible]
