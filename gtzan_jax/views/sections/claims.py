"""The report's section on the assignment's claims: published and measured figures."""

from collections.abc import Sequence

from markupsafe import Markup

from gtzan_jax.assignment import claims
from gtzan_jax.errors import InputError
from gtzan_jax.rundir.finished import FinishedRun, table_of
from gtzan_jax.tables.schema import FeatureTable
from gtzan_jax.views.sections.section import Section, code, paragraph
from gtzan_jax.views.text import NOTHING, Table


def claims_section(
    run: FinishedRun, others: Sequence[FinishedRun], table: FeatureTable | None, missing: str
) -> Section | None:
    """Makes the section on the claims; None if they do not concern the run.

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
                f"{each.run.path}: further runs are compared with the assignment's claims on "
                f"GTZAN's features, and this run's table is {of}"
            )
        if not claims.concern(each.sweep) and others:
            raise InputError(
                f"{each.run.path}: further runs are compared with the assignment's claims, and "
                "this sweep has other hyperparameters, or another protocol"
            )
    data = run.manifest.data
    if not (claims.concern(run.sweep) and data.is_of_songs) or data.pretrained:
        return None
    tables = [table]
    for other in others:
        same = table and table.sha256 == other.manifest.data.sha256
        tables.append(table if same else table_of(other, None)[0])
    judged = [claims.judge(each, its) for each, its in zip(runs, tables, strict=True)]
    columns, heads, rows, details = ["claim", "published"], ["claim"], [], []
    for each in runs:
        columns += [f"{each.name} ({each.sweep.loss})", "verdict"]
        heads.append(each.name)
    for found in zip(*judged, strict=True):
        parts = [claim.measured.partition("; ") for claim in found]
        pairs = zip(parts, found, strict=True)
        cells = [cell for part, claim in pairs for cell in (part[0], _verdict(claim))]
        rows.append([found[0].claim, found[0].published, *cells])
        if any(detail for *_, detail in parts):
            details.append([found[0].claim, *(detail or NOTHING for *_, detail in parts)])
    reasons = {each.name: claims.departure(each) for each in runs}
    unmarked = [f"{name} ({reason})" for name, reason in reasons.items() if reason]
    text = [
        paragraph(
            "A claim without a verdict is not confirmed.",
            f"No verdict on the networks of {', '.join(unmarked)}." if unmarked else "",
            f"Claims about the features are not compared: {missing}." if missing else "",
        )
    ]
    small = [paragraph(claims.NOTE, "Rules:", code("docs/reproduction.md") + ".")]
    if len({each.sweep.loss for each in runs}) == 1:
        loss = "cross_entropy" if run.sweep.loss == "softmax_twice" else "softmax_twice"
        small.append(
            paragraph(
                "A test loss near 1.75 at an accuracy above 0.7 is the mark of softmax applied "
                "twice. To compare, report on a run with",
                code(f"--set=loss={loss}"),
                "as well.",
            )
        )
    rules = Section(
        "Details and rules", small, tables=[Table(heads, details)] * bool(details), folded=True
    )
    table_of_claims = Table(columns, rows)
    return Section("Published claims", text, tables=[table_of_claims], parts=[rules], name="claims")


def _verdict(found: claims.Claim) -> str:
    if not found.different:
        return NOTHING
    return Markup('<span class="different">clearly different</span>')
