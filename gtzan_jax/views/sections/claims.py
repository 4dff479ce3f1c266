"""The section on the assignment's claims: published beside measured."""

from collections.abc import Sequence

from markupsafe import Markup

from gtzan_jax.assignment import claims
from gtzan_jax.errors import InputError
from gtzan_jax.rundir.finished import FinishedRun, table_of
from gtzan_jax.tables.schema import FeatureTable
from gtzan_jax.views.sections.section import Section, code, paragraph
from gtzan_jax.views.text import Table


def claims_section(
    run: FinishedRun, others: Sequence[FinishedRun], table: FeatureTable | None, missing: str
) -> Section | None:
    """Makes the section on each claim and its figures; None if they do not concern the run.

    ``missing`` is why the feature table is not available.

    Raises:
      InputError: the claims do not concern a further run.
    """
    runs = (run, *others)
    for each in runs:
        data = each.manifest.data
        if others and (data.pretrained or not data.is_of_songs):
            of = "of pretrained features" if data.pretrained else "not of songs"
            raise InputError(
                f"{each.run.path}: further runs are asked about the assignment's claims, which are "
                f"about GTZAN's features, and this run's table is {of}"
            )
        if not claims.concern(each.sweep) and others:
            raise InputError(
                f"{each.run.path}: further runs are asked about the assignment's claims, and "
                "this sweep has other axes, or another protocol, than the assignment"
            )
    data = run.manifest.data
    if not (claims.concern(run.sweep) and data.is_of_songs) or data.pretrained:
        return None
    tables = [table]
    for other in others:
        same = table and table.sha256 == other.manifest.data.sha256
        tables.append(table if same else table_of(other, None)[0])
    judged = [claims.judge(each, its) for each, its in zip(runs, tables, strict=True)]
    rows = [[found[0].sentence, *map(_cell, found)] for found in zip(*judged, strict=True)]
    names = [f"{each.name} ({each.sweep.loss})" for each in runs]
    reasons = {each.name: claims.departure(each) for each in runs}
    unmarked = [f"{name} ({reason})" for name, reason in reasons.items() if reason]
    text = [
        paragraph(
            claims.NOTE,
            "The rules are in",
            code("docs/reproduction.md") + ".",
            f"No figure of the networks is marked of {', '.join(unmarked)}." if unmarked else "",
            f"Claims about the features are not compared: {missing}." if missing else "",
        )
    ]
    if len({each.sweep.loss for each in runs}) == 1:
        loss = "cross_entropy" if run.sweep.loss == "softmax_twice" else "softmax_twice"
        text.append(
            paragraph(
                "A test loss that levels off near 1.75 while the accuracy stays above 0.7 is the "
                "mark of softmax applied twice. The same sweep with",
                code(f"--set=loss={loss}"),
                "is the other case; give its directory to this command as well.",
            )
        )
    table_of_claims = Table(("claim", *names), rows)
    return Section("The assignment's claims", text, tables=[table_of_claims], name="claims")


def _cell(found: claims.Claim) -> Markup:
    """Formats the figures of a claim, with a mark where they clearly differ."""
    mark = Markup('<span class="different">clearly different</span> ') if found.different else ""
    return mark + Markup("{}").format(found.measured)
