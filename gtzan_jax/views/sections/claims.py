"""The section on the assignment's claims: published beside measured."""

from collections.abc import Sequence

from markupsafe import Markup

from gtzan_jax.assignment import claims
from gtzan_jax.errors import InputError
from gtzan_jax.rundir.finished import FinishedRun, table_of
from gtzan_jax.tables.schema import FeatureTable
from gtzan_jax.views.sections.section import Section, code, paragraph
from gtzan_jax.views.text import Table

_VERDICTS = {True: "compatible", False: "not compatible", None: "undecided"}


def claims_section(
    run: FinishedRun, others: Sequence[FinishedRun], table: FeatureTable | None, missing: str
) -> Section | None:
    """Makes the section on each claim and its verdicts; None if they do not concern the run.

    ``missing`` is why the feature table is not available.

    Raises:
      InputError: the claims do not concern a further run.
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
    rows = [
        [found[0].sentence, found[0].published, *map(_cell, found)]
        for found in zip(*judged, strict=True)
    ]
    names = [f"{each.name} ({each.sweep.loss})" for each in runs]
    files = "from its files" + (" and the feature table" if not missing else "")
    text = [
        paragraph(
            f"Every figure of a run is computed {files}; the rules say when a claim counts as "
            "compatible with it.",
            f"Claims about the features are undecided: {missing}." if missing else "",
            "On the sample every claim is undecided." if run.is_sample else "",
        ),
        *(paragraph(note) for note in claims.NOTES),
    ]
    table_of_claims = Table(("claim", "published", *names), rows)
    levels_off = _levels_off(len(run.manifest.data.genres), {each.sweep.loss for each in runs})
    return Section(
        "The assignment's claims", text, tables=[table_of_claims], parts=[levels_off], name="claims"
    )


def _cell(found: claims.Claim) -> Markup:
    """Formats the verdict on a claim, with its figures."""
    verdict = _VERDICTS[found.compatible]
    words = Markup('<span class="verdict {}">{}</span> {}').format(
        verdict.replace(" ", "-"), verdict, found.measured
    )
    return words + (Markup("<small>{}</small>").format(found.also) if found.also else "")


def _levels_off(genres: int, losses: set[str]) -> Section:
    floor = claims.softmax_twice_floor(genres)
    again = "give its directory to this command as well."
    other: list[str] = ["Both losses are in the table above."]
    if "softmax_twice" not in losses:
        other = [
            "The same sweep with " + code("--set=loss=softmax_twice") + f" makes that case; {again}"
        ]
    elif "cross_entropy" not in losses:
        other = [
            "This run has that loss. The same sweep with "
            + code("--set=loss=cross_entropy")
            + f" is the other case; {again}"
        ]
    words = (
        "A test loss that levels off near 1.75 while the accuracy stays above 0.7 is the mark of "
        "softmax applied twice: a network that ends in a softmax layer, trained with a loss that "
        f"expects logits. With {genres} genres such a loss cannot fall below ln(1 + "
        f"{genres - 1}/e) = {floor:.3f} and cannot soar on a confident mistake, as plain "
        "cross-entropy does. Its gradients are weaker, which holds back networks that start small, "
        "those with random_uniform."
    )
    return Section("Where the test loss levels off", [paragraph(words, *other)])
