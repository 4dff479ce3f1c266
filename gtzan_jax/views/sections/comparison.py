"""The section on deep against classical models, and the discussion."""

from typing import Any

from markupsafe import Markup

from gtzan_jax.rundir.finished import FinishedRun
from gtzan_jax.views.sections.artists import baselines_command
from gtzan_jax.views.sections.retrained import Retrained
from gtzan_jax.views.sections.section import Section, code, figure, paragraph, strong
from gtzan_jax.views.text import percent, points


def comparison_section(
    run: FinishedRun,
    classical: dict[str, Any] | None,
    retrained: Retrained | None,
    data: str | None,
    has_claims: bool,
) -> Section:
    """Makes the section on classical models, if there are baselines, and the discussion."""
    title, name = "Deep against classical", "classical"
    discussion = Section(
        "What the assignment discusses" if has_claims else "Discussion",
        _discussion(run, classical, retrained),
    )
    if classical is None:
        none = paragraph(
            "No comparison with classical models lies beside this run.",
            code(baselines_command(run, data, "all"))
            + " makes one; "
            + code("--baselines=FOLDER")
            + " names another place for it.",
        )
        return Section(title, [none], parts=[discussion], name=name)
    text = []
    if classical["leak"]:
        no = "No figure of this comparison says anything about songs that were not trained on."
        text.append(paragraph(f"{classical['leak']}.", no, kind="warning"))
    tuned = [*classical["sources"], classical["tuning"], classical["budget"]]
    text.append(paragraph(*tuned))
    if run.sweep.family == "cnn":
        text.append(
            paragraph(
                "All of these models get means and variances of the bands. Our network among them "
                "is one for tables, and not the one that this report is about."
            )
        )
    best = classical["best"].model
    drawn = figure(
        "baselines",
        classical["figure"],
        "Accuracy of our network and of the other models by protocol",
        classical["finding"],
        classical["bars"],
    )
    importance = figure(
        "importance",
        classical["importance"],
        f"Importance of the features to {best} and to our network",
        f"{classical['top_classical']} is worth most to {best}, {classical['top_network']} to our "
        "network.",
    )
    notes = [paragraph(note) for note in classical["notes"].values()]
    scores, asked = [classical["scores"]], "What each protocol asks, and how to read these figures"
    parts = [
        Section("Accuracy of each model under each protocol", figures=[drawn]),
        Section("All figures, with differences from our network", tables=scores, folded=True),
        Section(asked, notes, tables=[classical["summaries"]], folded=True),
        Section("What each model relies on", figures=[importance]),
        discussion,
    ]
    return Section(title, text, tables=[classical["accuracies"]], parts=parts, name=name)


def _discussion(
    run: FinishedRun, classical: dict[str, Any] | None, retrained: Retrained | None
) -> list[Markup]:
    """Answers the four questions of the assignment's discussion from the run."""
    data, on_sound = run.manifest.data, run.sweep.family == "cnn"
    same = f"Both kinds of model get the same {data.features} numbers, which people designed."
    if on_sound:
        same = (
            "The network gets spectrograms, a classical model the mean and the variance of each of "
            f"the {data.features} bands: a difference is about both, the features and the model."
        )
    features, transfer, size, reasons = [same], ["Nothing is transferred here."], [], []
    train = run.manifest.split.folds[0].train
    if retrained:
        weights, kept = retrained.weights, retrained.kept
        first, chance = retrained.means.iloc[0]["test_accuracy"], 1 / len(data.genres)
        transfer = [
            f"Nothing is transferred here: all {weights:,} weights start from random numbers.",
            f"After one epoch {percent(first, 1)} of the test tracks are right, and "
            f"{percent(chance, 1)} would be chance.",
        ]
        folds = "s" if retrained.about.num_folds > 1 else ""
        source = f"the train part{folds} of {retrained.about.protocol}"
        if retrained.same_protocol:
            source = f"{train} {data.unit}, {round(weights / train)} for each"
        when = retrained.when if retrained.stopped_early else "at the end of the retraining"
        gap = kept["train_accuracy"] - kept["test_accuracy"]
        size = [
            f"{weights:,} weights learn from {source}.",
            f"{when.capitalize()} the train accuracy is {kept['train_accuracy']:.3f} and the test "
            f"accuracy {kept['test_accuracy']:.3f}: {points(abs(gap), '')} points "
            f"{'less' if gap > 0 else 'more'}.",
        ]
        if not classical and retrained.confused and retrained.confused.rows:
            genre, taken, _, _, share = retrained.confused.rows[0]
            reasons = [
                f"The network shows what it mistakes ({genre} for {taken} in {share} of the "
                f"predictions for {genre}), and not why."
            ]
    else:
        size = [
            f"The networks learn from {train} {data.unit}; without a retraining, how far they "
            "overfit is not known."
        ]
    if classical:
        ours, best, top = classical["ours"], classical["best"], classical["top_classical"]
        features.append(
            f"Our network{' for tables' if on_sound else ''} reaches {ours.accuracy:.3f} under "
            f"{classical['trusted']}, and the best of the other models by {classical['chosen_on']} "
            f"accuracy, {best.model}, {best.accuracy:.3f}: {classical['verdict']}."
        )
        seeds = " and all its seeds" if best.seeds > 1 else ""
        size.append(
            f"{best.model} takes {best.fit_seconds:.2f} s a fold, choosing its settings{seeds} "
            "included."
        )
        whom = f" for {best.model}, {classical['top_network']} for our network"
        if top == classical["top_network"]:
            whom = f", both {best.model} and our network"
        reasons = [
            f"Shuffling one feature at a time shows what models rely on: {top} most of all{whom}; "
            "over all features the rank correlation of the two importances is "
            f"{classical['agreement']:.2f}. How features combine it does not show."
        ]
    elif on_sound:
        reasons.append(
            "gtzan_jax.predict --explain shows which bands and frames of a song speak for a genre."
        )
    else:
        reasons.append("The comparison with classical models would show which features count.")
    words = {
        "Feature engineering.": features,
        "Transfer.": transfer,
        "Size of the data.": size,
        "Interpretability.": reasons,
    }
    return [paragraph(strong(title), *sentences) for title, sentences in words.items()]
