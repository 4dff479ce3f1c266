"""Writes a report on a finished sweep.

  python -m gtzan_jax.report RUNDIR
  python -m gtzan_jax.report RUNDIR MORE --data=my/features.csv

RUNDIR/report.html is one page that needs nothing else; RUNDIR/report.md is its
twin in Markdown, with its images in RUNDIR/report_files. MORE run directories,
such as one with the loss softmax_twice, are asked about the same claims.
"""

import base64
import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
from absl import flags
from markupsafe import Markup

from gtzan_jax import claims, cli, sections
from gtzan_jax.errors import InputError
from gtzan_jax.files import write_atomically
from gtzan_jax.finished import FinishedRun, read_run, table_of
from gtzan_jax.resources import resource
from gtzan_jax.text import printable

if TYPE_CHECKING:
    pass

SECTIONS = {
    "run": "The run",
    "table": "The table",
    "effects": "Which hyperparameter matters",
    "claims": "The assignment's claims",
    "pictures": "All configurations in two pictures",
    "retrained": "The retrained model",
    "classical": "Deep against classical",
    "limits": "Limits",
}


@dataclass(frozen=True)
class Report:
    """The page, its twin, and the images that the twin refers to."""

    html: str
    markdown: str
    images: Mapping[str, bytes]  # PNG by file name without its ending
    missing_table: str  # why figures that need the feature table are left out; "" if none are

    def __repr__(self) -> str:
        return f"Report({len(self.html):,} letters of HTML, {len(self.images)} images)"


def build(
    run: FinishedRun,
    others: Sequence[FinishedRun] = (),
    data: str | None = None,
    baselines: str | None = None,
    folder: str = "report_files",
) -> Report:
    """Makes the report on a run.

    Args:
      run: what it is about.
      others: runs that are asked about the assignment's claims too.
      data: the feature table, if it is neither the sample nor in data/ nor in the cache.
      baselines: a folder of ``gtzan_jax.baselines``; None takes the newest that lies beside the
        run and is of the same feature table.
      folder: the name of the folder of the twin's images.

    Raises:
      InputError: ``data`` or ``baselines`` is not what it should be.
    """
    beside = sections.find_baselines(run, baselines)
    table, missing = table_of(run, data)
    images: dict[str, bytes] = {}
    context = {
        "sections": SECTIONS,
        "run": run,
        "missing_table": missing,
        **sections.run_section(run),
        **sections.table_section(run),
        **sections.effects_section(run, images),
        "claims": sections.claims_section(run, others, table),
        "floor": claims.softmax_twice_floor(len(run.manifest.data.genres)),
        "retrained": sections.retrained_section(run, table, images),
        "classical": sections.classical_section(beside, images),
        "limits": sections.limits_section(run, table),
        "images": images,
        "folder": folder,
    }
    return Report(
        html=_environment(markdown=False).get_template("report.html.j2").render(context),
        markdown=_without_gaps(
            _environment(markdown=True).get_template("report.md.j2").render(context)
        ),
        images=images,
        missing_table=missing,
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
            write_atomically(folder / f"{name}.png", image)
        write_atomically(path.with_suffix(".md"), report.markdown)
        write_atomically(path, report.html)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}; see --output") from None


def _environment(markdown: bool) -> jinja2.Environment:
    """Returns what renders a template; whatever a template prints is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(resource("templates")),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        # Runs before the escaping for HTML, which leaves Markup as it is.
        finalize=_markdown_text if markdown else None,
    )
    environment.filters["base64"] = lambda image: base64.b64encode(image).decode("ascii")
    environment.filters["flow"] = lambda text: Markup(" ".join(text.split()))  # noqa: S704
    environment.filters["verdict"] = sections.verdict
    environment.filters["verbatim"] = _verbatim
    environment.filters["percent"] = sections.percent
    environment.filters["points"] = sections.points
    return environment


def _markdown_text(value: Any) -> Any:
    """Escapes what Markdown, and HTML within it, would take for more than text."""
    if isinstance(value, Markup):
        return value
    text = html.escape(" ".join(str(value).split()), quote=False)
    return Markup(re.sub(r"([\\`*\[\]|~#!])", r"\\\1", text))  # noqa: S704


def _without_gaps(text: str) -> str:
    """Takes out what the template's control lines leave: spaces at line ends, empty lines."""
    return re.sub(r"\n{3,}", "\n\n", re.sub(r"[ \t]+\n", "\n", text)).strip() + "\n"


def _verbatim(text: str) -> Markup:
    """Makes a text fit between Markdown's backticks, where nothing but they means anything."""
    return Markup(" ".join(text.split()).replace("`", "'"))  # noqa: S704


def main(paths: Sequence[str]) -> int:
    """Writes the report on the first run directory."""
    run, *others = map(read_run, paths)
    path = Path(flags.FLAGS.output or run.run.path / "report.html")
    if path.suffix != ".html":
        raise InputError(f"--output={path}: name a file that ends in .html")
    folder = f"{path.stem}_files"
    report = build(run, others, flags.FLAGS.data, flags.FLAGS.baselines, folder)
    save(report, path)
    print(printable(f"report in {path}"))
    print(printable(f"  its twin in Markdown in {path.with_suffix('.md')}"))
    if report.missing_table:
        print(f"  without the figures that need the tracks: {report.missing_table}")
    return 0


if __name__ == "__main__":
    flags.DEFINE_string(
        "data", None, "The feature table that the run was trained on, if it is neither in data/ "
        "nor in the cache; as for the sweep.",
    )  # fmt: skip
    flags.DEFINE_string(
        "baselines", None, "A folder of gtzan_jax.baselines. Default: the newest baselines-* "
        "beside the run directory that was made from the same feature table.",
    )  # fmt: skip
    flags.DEFINE_string("output", None, "Where to write. Default: RUNDIR/report.html.")
    cli.run_on(main, "RUNDIR")
