"""The report's section on classical models, and the discussion."""

from typing import Any

from markupsafe import Markup

from gtzan_jax.models.family import num_weights
from gtzan_jax.rundir.finished import FinishedRun
from gtzan_jax.tables.schema import data_note
from gtzan_jax.views.sections.artists import baselines_command
from gtzan_jax.views.sections.baselines import Baselines
from gtzan_jax.views.sections.section import Section, code, figure, paragraph, strong
from gtzan_jax.views.text import NOTHING, Table, interval, points


def comparison_section(run: FinishedRun, baselines: Baselines | None, data: str | None) -> Section:
    """Makes the section on classical models, if there are baselines, and the discussion."""
    from gtzan_jax.views import plots

    title, name = "Compared with classical models", "classical"
    if baselines is None:
        text = [
            paragraph(
                "No comparison yet. To make one:",
                code(baselines_command(run, data, "all")) + ";",
                code("--baselines=FOLDER"),
                "names one elsewhere.",
            )
        ]
        return Section(title, [*text, *_discussion(run, baselines)], name=name)
    source = baselines.sources[baselines.trusted]
    protocols, described = baselines.protocols.values(), source.described
    text = []
    if leak := baselines.protocols[baselines.trusted].leak:
        no = "No figure here says anything about songs outside the training set."
        text.append(paragraph(f"{leak}.", no, kind="warning"))
    text.append(_finding(run, baselines))
    notes: dict[str, str] = {}
    for each in {of.folder: of for of in (source, *baselines.sources.values())}.values():
        labels = ", ".join(p.label for p in protocols if baselines.sources[p.name] is each)
        networks = f": {labels}; our networks from the sweep {each.described.ours.sweep}."
        budget = each.described.notes.get("budget", "")
        text.append(paragraph("From " + code(each.folder.name) + networks, budget))
        notes = each.described.notes | notes  # those of the trusted folder count most
    notes.pop("budget", None)
    note = data_note(run.manifest.data.source, run.manifest.data.rows_note)
    leaky = [protocol.name for protocol in protocols if protocol.leak]
    apart = list(baselines.pairs.loc[baselines.pairs["kind"] == "apart", "protocol"])
    best = described.best_classical[baselines.trusted]
    drawn = figure(
        "baselines",
        plots.accuracy_by_protocol(
            baselines.scores, apart, described.ours.name, note, leaky, run.words
        ),
        "Accuracy of our network and of the other models by protocol",
        baselines.bars(run),
    )
    importance = figure(
        "importance",
        source.picture,
        f"Importance of the features to {best} and to our network",
        _importance(baselines),
    )
    summaries = [[p.label, p.summary, " ".join([p.note, *p.left_out])] for p in protocols]
    asks = Table(("protocol", "split", "meaning"), summaries)
    scores, read = _scores_table(baselines), list(map(paragraph, notes.values()))
    label = baselines.protocols[baselines.trusted].label
    parts = [
        Section("Importance of the features", figures=[importance]),
        Section("All figures, with differences from our network", tables=[scores], folded=True),
        Section("How to read these figures", read, tables=[asks], folded=True),
    ]
    text += _discussion(run, baselines)
    return Section(title, text, [drawn], [_brief(scores, label)], parts=parts, name=name)


def _brief(scores: Table, label: str) -> Table:
    """Returns the models of one protocol, their accuracies and differences with intervals."""
    shown = ("model", "accuracy", "ours minus it, points", "95 % interval of that")
    rows = [dict(zip(scores.columns, row, strict=True)) for row in scores.rows]
    return Table(shown, [[row[n] for n in shown] for row in rows if row["protocol"] == label])


def _scores_table(baselines: Baselines) -> Table:
    rows = baselines.scores.merge(
        baselines.paired, "left", on=["protocol", "model"], suffixes=("", "_of_it")
    )
    labels = rows["protocol"].map({name: p.label for name, p in baselines.protocols.items()})
    scopes = {True: "refitted models", False: "fitted models"}
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
    """Describes the importances of the features to both models."""
    source = baselines.sources[baselines.trusted]
    drops = source.importance.set_index("feature")
    top, best = drops.idxmax(), source.described.best_classical[baselines.trusted]
    agreement = round(float(drops["classical_mean"].corr(drops["mlp_mean"], "spearman")), 2) + 0.0
    return (
        f"Accuracy lost when one feature is shuffled: most for {top['classical_mean']} with "
        f"{best}, for {top['mlp_mean']} with our network; rank correlation of all importances"
        f" {agreement:.2f}."
    )


def _finding(run: FinishedRun, baselines: Baselines) -> Markup:
    """Compares our network with the best other model under the protocol to trust."""
    ours, best = baselines.pair(baselines.trusted)
    paired = baselines.paired.set_index(["protocol", "model"]).loc[baselines.trusted, best["model"]]
    low, high = paired["low"], paired["high"]
    sure, better = "without an interval.", ""
    if low == low:
        scope = "with refitting" if paired["with_refitting"] else "for these fitted models only"
        sure = f"95 % interval {interval(low, high)} {scope}:"
        better = f"{'our network' if low > 0 else best['model']} is better"
        better = strong("neither is clearly better" if low <= 0 <= high else better) + "."
    tables = " for tables" if run.sweep.family == "cnn" else ""
    return paragraph(
        f"Under {ours['label']} our network{tables} reaches {ours['accuracy']:.3f}; "
        f"{best['model']}, the best other model by validation accuracy, {best['accuracy']:.3f}. "
        f"Difference {points(paired['difference'])} points, {sure}",
        better,
    )


def _discussion(run: FinishedRun, baselines: Baselines | None) -> list[Markup]:
    """Discusses features, transfer, size of the data and interpretability."""
    data, on_sound, saved = run.manifest.data, run.sweep.family == "cnn", run.retraining("best")
    features = f"Both kinds of model get the same {data.features} hand-designed numbers."
    transfer = "None: all weights start from random numbers."
    if on_sound:
        features = (
            "Our sweep's networks get spectrograms; all models of a comparison, our network for "
            f"tables among them, get the mean and variance of each of the {data.features} bands, "
            "so a difference may come from the features or the model."
        )
    if data.pretrained:
        features = (
            f"Both kinds of model get the same {data.features} numbers from {data.pretrained}, a "
            "network trained to tag other songs."
        )
        transfer = (
            "The features are transferred, not trained further; our networks start from random "
            "numbers."
        )
    size = f"The networks are fitted to {run.manifest.split.folds[0].train} {data.unit}."
    if saved:
        kept = saved.history[saved.history["kept"]].mean()
        gap = kept["train_accuracy"] - kept["test_accuracy"]
        weights = num_weights(saved.config, data.features, len(data.genres))
        size = (
            f"{weights:,} weights are fitted to the train part of {saved.about.protocol}. At the "
            f"epochs kept: train accuracy {kept['train_accuracy']:.3f}, test accuracy "
            f"{kept['test_accuracy']:.3f}, {points(abs(gap), '')} points "
            f"{'less' if gap > 0 else 'more'}."
        )
    if baselines:
        _, best = baselines.pair(baselines.trusted)
        size += (
            f" Fitting {best['model']} takes {best['fit_seconds']:.2f} s per fold, selection "
            "included."
        )
    items = {"Features.": features, "Transfer.": transfer} if data.is_of_songs else {}
    items["Size of the data."] = size
    if on_sound:
        items["Interpretability."] = (
            "gtzan_jax.predict --explain shows what of a song speaks for a genre."
        )
    return [paragraph(strong(name), text, kind="item") for name, text in items.items()]
