"""The report on a finished sweep: RUNDIR/report.html, a self-contained page."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gtzan_jax.errors import InputError, described
from gtzan_jax.files import write_atomically
from gtzan_jax.rundir.finished import FinishedRun, table_of
from gtzan_jax.tables.protocols import PROTOCOLS
from gtzan_jax.text import flag, printable
from gtzan_jax.views.sections.baselines import find_baselines, read_baselines
from gtzan_jax.views.sections.caveats import caveats_part
from gtzan_jax.views.sections.claims import claims_section
from gtzan_jax.views.sections.comparison import comparison_section
from gtzan_jax.views.sections.details import details_section
from gtzan_jax.views.sections.effects import effects_of, effects_section, matters_part
from gtzan_jax.views.sections.retrained import retrained_section
from gtzan_jax.views.sections.section import Section
from gtzan_jax.views.sections.selection import best_part, selection_section, winner_of
from gtzan_jax.views.sections.summary import swept, trust_part
from gtzan_jax.views.sections.table import table_section
from gtzan_jax.views.text import template


@dataclass(frozen=True)
class Report:
    """The report's page."""

    html: str = field(repr=False)
    missing_table: str  # why figures that need the feature table are missing; "" if none are


def write_report(
    runs: Sequence[FinishedRun],
    data: str | None = None,
    baselines: Sequence[str] = (),
    output: str | Path | None = None,
) -> Path:
    """Writes the report on the first of some runs, prints its path, and returns it.

    The assignment's claims are compared with the others, too. See ``options.ReportOptions``.
    """
    run, *others = runs
    path = Path(output or run.run.path / "report.html")
    if path.suffix != ".html":
        raise InputError(f"{flag('output', path)}: name a file that ends in .html")
    report = build(run, others, data, baselines)
    save(report, path)
    print(printable(f"report in {path}"))
    if report.missing_table:
        print(f"  without the figures that need the {run.words.rows}: {report.missing_table}")
    return path


def build(
    run: FinishedRun,
    others: Sequence[FinishedRun] = (),
    data: str | None = None,
    baselines: Sequence[str] = (),
) -> Report:
    """Makes the report on a run; the arguments are those of :func:`write_report`."""
    table, missing = table_of(run, data)
    compared = read_baselines(find_baselines(run, baselines))
    winner, found = winner_of(run), effects_of(run.accuracy_by_fold, run.sweep)
    claims = claims_section(run, others, table, missing)
    first_screen = [
        best_part(run, winner),
        trust_part(run, winner, compared, table, data),
        matters_part(run, found),
    ]
    sections = [
        Section("Summary", parts=first_screen, name="summary"),
        effects_section(run, found),
        selection_section(run, winner, caveats_part(run, table, missing)),
        retrained_section(run),
        comparison_section(run, compared, data),
        *([claims] if claims else []),
        table_section(run),
        details_section(run),
    ]
    sample = (
        "All figures are from the SYNTHETIC sample, not from GTZAN. They show that the program "
        "works and say nothing about music."
    )
    warnings = [sample * run.is_sample, leak_of(run)]
    page = template("report.html.j2").render(
        name=run.name, lede=swept(run), warnings=filter(None, warnings), sections=sections
    )
    return Report(page.replace(" %", "\N{NO-BREAK SPACE}%"), missing)  # on one line


def leak_of(run: FinishedRun) -> str:
    """Returns the warning of a run that leaks, or has retrainings that leak; "" if none does."""
    leaks = {"of the sweep": run.protocol.leak}
    for name, saved in run.retrainings.items():
        which = "of the retrained networks" if name == "best" else f"of the retraining {name}"
        leaks[which] = PROTOCOLS[saved.about.protocol].leak
    told = [which for which, leak in leaks.items() if leak]
    if not told:
        return ""
    which = "here" if len(told) == len(leaks) else " or ".join(told)
    return (
        f"{leaks[told[0]]}. No figure {which} says anything about songs outside the training set."
    )


def save(report: Report, path: Path) -> None:
    """Writes the page; replaces a link there. Raises InputError if that fails."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, report.html)
    except OSError as error:
        raise InputError(f"{described(error)}: cannot be written; see --output") from None
