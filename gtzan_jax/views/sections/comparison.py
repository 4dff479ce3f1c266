"""The section on deep against classical models, and the discussion."""

from typing import Any

from markupsafe import Markup

from gtzan_jax.models.family import num_weights
from gtzan_jax.rundir.finished import FinishedRun
from gtzan_jax.tables.schema import data_note
from gtzan_jax.views.sections.artists import baselines_command
from gtzan_jax.views.sections.baselines import Baselines
from gtzan_jax.views.sections.section import Section, code, figure, paragraph, strong
from gtzan_jax.views.text import NOTHING, Table, interval, points


def comparison_section(
    run: FinishedRun, baselines: Baselines | None, data: str | None, has_claims: bool
) -> Section:
    """Makes the section on classical models, if there are baselines, and the discussion."""
    from gtzan_jax.views import plots

    title, name = "Deep against classical", "classical"
    discussed = "What the assignment discusses" if has_claims else "Discussion"
    discussion = Section(discussed, _discussion(run, baselines))
    if baselines is None:
        makes = (
            code(baselines_command(run, data, "all"))
            + " makes a comparison with classical models; "
            + code("--baselines=FOLDER")
            + " says where there is one."
        )
        return Section(title, [paragraph(makes)], parts=[discussion], name=name)
    source = baselines.sources[baselines.trusted]
    protocols, described = baselines.protocols.values(), source.described
    text = []
    if leak := baselines.protocols[baselines.trusted].leak:
        no = "No figure of this comparison says anything about songs that were not trained on."
        text.append(paragraph(f"{leak}.", no, kind="warning"))
    notes: dict[str, str] = {}
    for each in {of.folder: of for of in (source, *baselines.sources.values())}.values():
        labels = ", ".join(p.label for p in protocols if baselines.sources[p.name] is each)
        networks = f": {labels}, with networks of the sweep {each.described.ours.sweep}."
        budget = each.described.notes.get("budget", "")
        text.append(paragraph("From " + code(each.folder.name) + networks, budget))
        notes = each.described.notes | notes  # those of the trusted folder count most
    notes.pop("budget", None)
    if run.sweep.family == "cnn":
        text.append(
            paragraph(
                "All of these models get means and variances of the bands. Our network among them "
                "is one for tables, and not the one that this report is about."
            )
        )
    best = described.best_classical[baselines.trusted]
    note = data_note(run.manifest.data.source, run.manifest.data.rows_note)
    leaky = [protocol.name for protocol in protocols if protocol.leak]
    apart = list(baselines.pairs.loc[baselines.pairs["kind"] == "apart", "protocol"])
    drawn = figure(
        "baselines",
        plots.accuracy_by_protocol(
            baselines.scores, apart, described.ours.name, note, leaky, run.words
        ),
        "Accuracy of our network and of the other models by protocol",
        baselines.finding,
        baselines.bars(run),
    )
    importance = figure(
        "importance",
        source.picture,
        f"Importance of the features to {best} and to our network",
        _importance(baselines),
    )
    summaries = [[p.label, p.summary, " ".join([p.note, *p.left_out])] for p in protocols]
    asks = Table(("protocol", "what it does", "what its numbers mean"), summaries)
    scores, read = [_scores_table(baselines)], list(map(paragraph, notes.values()))
    parts = [
        Section("Accuracy of each model under each protocol", figures=[drawn]),
        Section("All figures, with differences from our network", tables=scores, folded=True),
        Section("How to read these figures", read, tables=[asks], folded=True),
        Section("What each model relies on", figures=[importance]),
        discussion,
    ]
    return Section(title, text, parts=parts, name=name)


def _scores_table(baselines: Baselines) -> Table:
    rows = baselines.scores.merge(
        baselines.paired, "left", on=["protocol", "model"], suffixes=("", "_of_it")
    )
    labels = rows["protocol"].map({name: p.label for name, p in baselines.protocols.items()})
    scopes = {True: "refitted models", False: "these fitted models only"}
    ends = zip(rows["low"], rows["high"], strict=True)
    shown: dict[str, Any] = {
        "95 % interval": [f"{a:.3f} to {b:.3f}" if a == a else NOTHING for a, b in ends],
        "deviation over folds": rows["accuracy_std"],
        "settings tried": rows["settings_tried"],
        "seeds": rows["seeds"],
        "fit, s": rows["fit_seconds"],
        "predict, s": rows["predict_seconds"],
        "ours minus it, points": rows["difference"].map(points),
        "95 % interval of that": list(map(interval, rows["low_of_it"], rows["high_of_it"])),
        "interval of": rows["with_refitting"].map(scopes).fillna(NOTHING),
    }
    return Table.of(labels.to_frame().join(rows[["model", "accuracy"]]).assign(**shown))


def _importance(baselines: Baselines) -> str:
    """Returns a sentence on the features that models rely on."""
    source = baselines.sources[baselines.trusted]
    drops = source.importance.set_index("feature")
    top, best = drops.idxmax(), source.described.best_classical[baselines.trusted]
    agreement = round(float(drops["classical_mean"].corr(drops["mlp_mean"], "spearman")), 2) + 0.0
    return (
        f"When one feature is shuffled at a time, {top['classical_mean']} is worth most to {best}, "
        f"{top['mlp_mean']} to our network; the rank correlation of all features' importances is "
        f"{agreement:.2f}. How features combine it does not show."
    )


def _verdict(paired: Any, best: str) -> str:
    """Describes the difference of our network and another, a row of ``comparison_table``."""
    difference, low, high = f"{points(paired['difference'])} points", paired["low"], paired["high"]
    if low != low:
        return f"a difference of {difference}, of which there is no interval"
    scope = "with refitting" if paired["with_refitting"] else "of these fitted models only"
    better = f"{'our network' if low > 0 else best} is better"
    if low <= 0 <= high:
        better = "neither can be called better"
    return f"a difference of {difference}, 95 % interval {interval(low, high)} {scope}: {better}"


def _discussion(run: FinishedRun, baselines: Baselines | None) -> list[Markup]:
    """Answers the questions of the assignment's discussion that concern the table, from the run."""
    data, on_sound, saved = run.manifest.data, run.sweep.family == "cnn", run.retraining("best")
    features = [f"Both kinds of model get the same {data.features} numbers, designed by people."]
    if on_sound:
        features = [
            "The network gets spectrograms, a classical model the mean and the variance of each of "
            f"the {data.features} bands: a difference is about both, the features and the model."
        ]
    size = [
        f"The networks learn from {run.manifest.split.folds[0].train} {data.unit}; without a "
        "retraining, how far they overfit is not known."
    ]
    transfer = ["Nothing is transferred: all weights start from random numbers."]
    if data.pretrained:
        features = [
            f"Both kinds of model get the same {data.features} numbers, which {data.pretrained}, a "
            "network that was trained to tag other songs, makes of each."
        ]
        transfer = [
            "The features are transferred, and not trained further; the weights of the networks "
            "here start from random numbers."
        ]
    reasons = "The comparison with classical models would show which features count."
    if on_sound:
        reasons = "gtzan_jax.predict --explain shows what of a song speaks for a genre."
    if saved:
        kept = saved.history[saved.history["kept"]].mean()
        gap = kept["train_accuracy"] - kept["test_accuracy"]
        weights = num_weights(saved.config, data.features, len(data.genres))
        size = [
            f"{weights:,} weights learn from the train part of {saved.about.protocol}. At the "
            f"epochs kept the train accuracy is {kept['train_accuracy']:.3f} and the test accuracy "
            f"{kept['test_accuracy']:.3f}: {points(abs(gap), '')} points "
            f"{'less' if gap > 0 else 'more'}."
        ]
    if baselines:
        ours, best = baselines.pair(baselines.trusted)
        paired = baselines.paired.set_index(["protocol", "model"])
        features.append(
            f"Our network{' for tables' if on_sound else ''} reaches {ours['accuracy']:.3f} under "
            f"{ours['label']}, and the best of the other models by validation accuracy, "
            f"{best['model']}, {best['accuracy']:.3f}: "
            f"{_verdict(paired.loc[(baselines.trusted, best['model'])], best['model'])}."
        )
        seconds = f"{best['fit_seconds']:.2f} s a fold, choosing its settings included."
        size.append(f"{best['model']} takes {seconds}")
        reasons = _importance(baselines)
    answers = {"Feature engineering.": features, "Transfer.": transfer}
    if not data.is_of_songs:  # nobody designed its numbers
        answers = {"Accuracy.": features[1:]} if baselines else {}
    answers |= {"Size of the data.": size, "Interpretability.": [reasons]}
    return [paragraph(strong(title), *sentences) for title, sentences in answers.items()]
