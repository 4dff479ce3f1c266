"""Writes the report on a finished sweep: a page that needs nothing else, and its twin.

RUNDIR/report.html is the page; RUNDIR/report.md is its twin in Markdown, with its images in
RUNDIR/report_files.
"""

import functools
import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

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
    """The page, its twin, and the images that the twin refers to."""

    html: str
    markdown: str
    images: Mapping[str, bytes]  # by file name, SVG or PNG
    missing_table: str  # why figures that need the feature table are left out; "" if none are

    def __repr__(self) -> str:
        return f"Report({len(self.html):,} letters of HTML, {len(self.images)} images)"


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
    report = build(run, others, data, baselines, f"{path.stem}_files")
    save(report, path)
    print(printable(f"report in {path}"))
    print(printable(f"  its twin in Markdown in {path.with_suffix('.md')}"))
    if report.missing_table:
        print(f"  without the figures that need the tracks: {report.missing_table}")
    return path


def build(
    run: FinishedRun,
    others: Sequence[FinishedRun] = (),
    data: str | None = None,
    baselines: Sequence[str] = (),
    folder: str = "report_files",
) -> Report:
    """Makes the report on a run; ``folder`` is that of the twin's images."""
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
        "folder": folder,
        "commands": _commands(run, data),
    }
    return Report(
        html=_with_units(_environment().get_template("report.html.j2").render(context)),
        # Markdown's escaping runs before that for HTML, which leaves Markup as it is.
        markdown=_without_gaps(
            _environment(_markdown_text).get_template("report.md.j2").render(context)
        ),
        images=images,
        missing_table=missing,
    )


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
    """Writes the page to ``path``, its twin beside it, and the twin's images.

    Files that are links are replaced. A folder that is one would lead what is written elsewhere.

    Raises:
      InputError: they cannot be written there.
    """
    folder = path.with_name(f"{path.stem}_files")
    if folder.is_symlink():
        raise InputError(f"{folder} is a link: remove it, or name another --output")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, image in report.images.items():
            write_atomically(folder / name, image)
        write_atomically(path.with_suffix(".md"), report.markdown)
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


def _environment(finalize: Any = None) -> jinja2.Environment:
    """Returns what renders a template; whatever a template prints is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(resource("views", "templates")),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        finalize=finalize,
    )
    environment.filters |= {
        "flow": lambda words: Markup(" ".join(words.split())),  # noqa: S704
        "verdict": _verdict,
        "verbatim": _verbatim,
        "percent": text.percent,
        "points": text.points,
        "counted": text.counted,
    }
    return environment


def _verdict(claim: claims.Claim) -> str:
    """Returns whether a claim is compatible with a run, in words."""
    words = {True: "compatible", False: "not compatible", None: "undecided"}
    return words[claim.compatible]


def _markdown_text(value: Any) -> Any:
    """Escapes what Markdown, and HTML within it, would take for more than text."""
    if isinstance(value, Markup):
        return value
    words = html.escape(re.sub(r"\s+", " ", str(value)), quote=False)
    return Markup(re.sub(r"([\\`*\[\]|~#!])", r"\\\1", words))  # noqa: S704


def _with_units(page: str) -> str:
    """Keeps numbers and their signs of percent on one line."""
    return page.replace(" %", "\N{NO-BREAK SPACE}%")


def _without_gaps(markdown: str) -> str:
    """Takes out what the template's control lines leave: spaces at line ends, empty lines."""
    return re.sub(r"\n{3,}", "\n\n", re.sub(r"[ \t]+\n", "\n", markdown)).strip() + "\n"


def _verbatim(words: str) -> Markup:
    """Makes a text fit between Markdown's backticks, where nothing but they means anything.

    No tag stays as it is: not every program that shows Markdown leaves one between backticks alone.
    """
    return Markup(" ".join(words.split()).replace("`", "'").replace("<", "&lt;"))  # noqa: S704
