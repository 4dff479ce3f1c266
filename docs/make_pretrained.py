"""Measures and writes docs/pretrained.md and its pictures: three quarters of an hour on two cores.

    python docs/make_pretrained.py DATA                     # measures everything
    python docs/make_pretrained.py DATA cnn songs           # measures these parts anew
    python docs/make_pretrained.py DATA text                # measures nothing

DATA is a folder that pretrained_parts.py describes; its PARTS are those that can be named. What is
measured is in docs/pretrained.json, part by part as each ends.
"""

import io
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pages import fill
from PIL import Image
from pretrained_parts import CNN, COUNTS, DIVIDED, PARTS
from pretrained_predictions import BOTH, GTZAN, LINEAR, OURS, PREDICTIONS, TAGS, UNITS, Found

from gtzan_jax.tables.protocols import ARTISTS_APART
from gtzan_jax.views.plots.style import GREY, TEST, TRAIN, VALIDATION, image_of, new_figure, tidy
from gtzan_jax.views.text import Table

PAGE = Path(__file__).with_name("pretrained.md")
MEASURED = PAGE.with_suffix(".json")
IMAGES = PAGE.parent / "images"
MAY = "musicnn may have learned from some of these recordings, or others of their albums"
MARKERS = {
    "artist_kfold": "^", "fault_filtered": "v", "artist_folds": "P", "kfold": "o",
    "mixed_artists": "X",
}  # fmt: skip
COLOURS = {GTZAN: GREY, TAGS: TRAIN, UNITS: TEST, BOTH: VALIDATION}
SHOWN = {GTZAN: "57 features", TAGS: "50 tags", UNITS: "200 units", BOTH: "tags and units"}


def interval(row: Found) -> str:
    """Returns an accuracy with its interval."""
    low, high = row["low"], row["high"]
    return f"{row['accuracy']:.2f}" + (f" [{low:.2f}, {high:.2f}]" if low is not None else "")


def points(difference: float, low: float | None, high: float | None) -> str:
    """Returns a difference in points with its interval, if it has one."""
    text = f"{100 * difference:+.1f}"
    if low is not None and high is not None:
        text += f" ({100 * low:+.1f} to {100 * high:+.1f})"
    return text.replace("-", "−")


def span(values: Sequence[float], digits: int = 2) -> str:
    """Returns the smallest and the largest value."""
    return f"{min(values):.{digits}f} to {max(values):.{digits}f}"


# --------------------------------------------------------------------------------- protocols


def protocols_text(part: Found) -> str:
    """Returns accuracies and gains by model and protocol."""
    scores = {
        name: {(row["protocol"], row["model"]): row for row in part[name]["scores"]}
        for name in (GTZAN, TAGS)
    }
    gains = {(row["protocol"], row["model"]): row for row in part["gain"]}
    models = list(dict.fromkeys(model for _, model in gains))
    models.sort(key=lambda model: -scores[TAGS]["artist_kfold", model]["accuracy"])
    tables = [
        Table(
            (SHOWN[name], *DIVIDED),
            [[m, *(interval(scores[name][p, m]) for p in DIVIDED)] for m in models],
        ).markdown
        for name in (GTZAN, TAGS)
    ]
    rows = [
        [m, *(points(*(gains[p, m][k] for k in ("difference", "low", "high"))) for p in DIVIDED)]
        for m in models
    ]
    apart = [p for p in DIVIDED if p in ARTISTS_APART]
    lead = "; ".join(
        f"{p}: {span([scores[GTZAN][p, m]['accuracy'] for m in models])} by the 57 features, "
        f"{span([scores[TAGS][p, m]['accuracy'] for m in models])} by tags"
        for p in apart
    )
    clear = [row for row in gains.values() if row["low"] is not None and row["low"] > 0]
    counts = ", ".join(f"{part['songs'][p]} under {p}" for p in DIVIDED)
    return (
        f"Where no artist is shared, by model: {lead}. {len(clear)} of {len(gains)} gains are "
        f"clearly above 0.\n\n{tables[0]}\n\n{tables[1]}\n\n"
        "Tags less 57 features, in points, paired by song:\n\n"
        f"{Table(('gain', *DIVIDED), rows).markdown}\n\n"
        f"Songs: {counts}. Our network is the best of {part['configs']} configs, chosen inside "
        f"each train part and retrained with {part['seeds']} seeds, as in `gtzan_jax.baselines`; "
        "intervals at 95 %, those of accuracies over artists and songs for fitted models, those of "
        "gains over the folds where there are five or more, by the corrected t (Nadeau and "
        "Bengio), else over artists and songs. The published tags lack the validation part of "
        "fault_filtered: a part of its train part, of other artists, stands in for it. "
        f"**{MAY}.**"
    )


def protocols_picture(part: Found) -> Figure:
    """Draws accuracies by model and protocol, a panel for each set of features."""
    rows = {name: part[name]["scores"] for name in (GTZAN, TAGS)}
    order = {row["model"]: row["accuracy"] for row in rows[TAGS] if row["protocol"] == "kfold"}
    models = sorted(order, key=lambda model: -order[model])
    figure = new_figure(11.0, 7.0, note=f"733 songs of GTZAN. {MAY}.")
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    for axes, name in zip(panels, rows, strict=True):
        for place in range(0, len(models), 2):
            axes.axhspan(place - 0.5, place + 0.5, facecolor="#f3f3f3", edgecolor="none", zorder=0)
        for turn, (protocol, marker) in enumerate(MARKERS.items()):
            of = {row["model"]: row for row in rows[name] if row["protocol"] == protocol}
            shift = 0.8 * ((turn + 0.5) / len(MARKERS) - 0.5)
            places = [models.index(model) + shift for model in of]
            is_apart = protocol in ARTISTS_APART
            mean = [row["accuracy"] for row in of.values()]
            reach = [
                [row["accuracy"] - row["low"] for row in of.values()],
                [row["high"] - row["accuracy"] for row in of.values()],
            ]
            axes.errorbar(
                mean, places, xerr=reach, marker=marker, linestyle="none", markersize=5,
                color=TEST if is_apart else TRAIN, linewidth=1.2,
                label=f"{protocol}{': artists apart' if is_apart else ': random'}",
            )  # fmt: skip
        origin = "of a pretrained network" if name == TAGS else "of the table"
        axes.set_title(f"{SHOWN[name]} {origin}", fontsize=12)
        axes.set_xlabel("test accuracy, with 95 % interval", fontsize=9)
        tidy(axes, in_rows=True)
    panels[0].set_yticks(range(len(models)), models)
    panels[0].get_yticklabels()[models.index(OURS)].set_fontweight("bold")
    panels[0].set_ylim(len(models) - 0.5, -0.5)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=5, frameon=False, fontsize=8.5)
    return figure


# ------------------------------------------------------------------------------------- curve


def curve_text(part: Found, artists: str) -> str:
    """Returns accuracies by number of songs, features and model."""
    counts = COUNTS[artists]
    found = {(row["features"], row["model"], row["songs"]): row for row in part[artists]}
    rows = [
        [SHOWN[name], model, *(interval(found[name, model, count]) for count in counts)]
        for name, model in dict.fromkeys((name, model) for name, model, _ in found)
    ]
    heads = [f"{count} songs a genre" for count in counts]
    pairs = [(name, count) for name, model, count in found if model == OURS]
    ahead = sum(
        found[name, LINEAR, count]["accuracy"] > found[name, OURS, count]["accuracy"]
        for name, count in pairs
    )
    return (
        f"{Table(('features', 'model', *heads), rows).markdown}\n\nLogistic regression is ahead of "
        f"this one config of our network in {ahead} of {len(pairs)} pairs. **{MAY}.**"
    )


def default_text(part: Found) -> str:
    """Says whether units are better than tags, and whether both together are."""
    rows = [row for row in part["heard"] if f"less {TAGS}" in row]
    of_units = [row[f"less {TAGS}"] for row in rows if row["features"] == UNITS]
    ahead, clear = (sum(less[place] > 0 for less in of_units) for place in (0, 1))
    cells = [
        [
            f"{SHOWN[row['features']]}, {row['model']}", str(row["songs"]),
            points(*row[f"less {TAGS}"]), points(*row[f"less {GTZAN}"]),
        ]
        for row in rows
    ]  # fmt: skip
    heads = ("features, model", "songs a genre", "less tags, points", "less 57 features, points")
    return (
        f"Units are ahead of tags in {ahead} of {len(of_units)} comparisons, clearly in {clear}. "
        f"Differences are paired by song, over artists.\n\n{Table(heads, cells).markdown}"
    )


def artists_text(part: Found) -> str:
    """Says how many artists the songs of audio100 are by."""
    alone = [genre for genre, count in part["artists"].items() if count == 1]
    others = [f"{genre} {count}" for genre, count in part["artists"].items() if count > 1]
    return (
        f"By the list of artists, all ten songs of {', '.join(alone[:-1])} and {alone[-1]} are by "
        f"one artist each; of the others so many: {', '.join(others)}."
    )


def curve_picture(part: Found) -> Figure:
    """Draws accuracy against the number of songs, for artists heard and never heard."""
    figure = new_figure(10.0, 4.6, note=f"{MAY}.")
    titles = {
        "heard": "songs of artists that were trained on",
        "unheard": "songs of artists that were not trained on",
    }
    for axes, (artists, title) in zip(
        figure.subplots(1, 2, sharey=True), titles.items(), strict=True
    ):
        draw_curves(axes, part[artists])
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("songs of each genre to train on", fontsize=9)
        axes.set_xticks(COUNTS[artists], list(map(str, COUNTS[artists])))
        axes.minorticks_off()
        tidy(axes)
    figure.axes[0].set_ylabel("test accuracy, with 95 % interval", fontsize=9)
    handles = figure.axes[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside upper center", ncols=3, frameon=False, fontsize=8.5)
    return figure


def draw_curves(axes: Axes, rows: Sequence[Found]) -> None:
    """Draws a line for each set of features and model."""
    axes.set_xscale("log")
    kinds = [k for k in dict.fromkeys((r["features"], r["model"]) for r in rows) if k[0] != BOTH]
    for turn, (name, model) in enumerate(kinds):
        of = [row for row in rows if (row["features"], row["model"]) == (name, model)]
        mean = [row["accuracy"] for row in of]
        reach = [
            [row["accuracy"] - row["low"] for row in of],
            [row["high"] - row["accuracy"] for row in of],
        ]
        axes.errorbar(
            [row["songs"] * 1.03 ** (turn - len(kinds) / 2) for row in of], mean, yerr=reach,
            color=COLOURS[name], linestyle="-" if model == OURS else "--",
            marker="o" if model == OURS else "s", markersize=4, linewidth=1.4, elinewidth=0.9,
            label=f"{SHOWN[name]}, {'our network' if model == OURS else model}",
        )  # fmt: skip


# ------------------------------------------------------------------------------------- others


def songs_text(part: Found) -> str:
    """Returns the classes of the nine songs."""

    def shown(classes: list[str] | None) -> str:
        if classes is None:
            return "– (no song of its genre is left)"
        return ", ".join(
            f"{genre} {count}" if count < part["networks"] else genre
            for genre, count in Counter(classes).most_common()
        )

    names = (GTZAN, TAGS, UNITS)
    rows = [[row["song"], *(shown(row.get(name)) for name in names)] for row in part["rows"]]

    def right(name: str, first: bool) -> str:
        of = [row for row in part["rows"] if row.get(name)]
        genres = [(row["song"].partition(".")[0], row[name]) for row in of]
        if first:
            return f"{sum(genre == classes[0] for genre, classes in genres)} of {len(of)}"
        return f"{sum(c.count(g) / len(c) for g, c in genres):.1f} of {len(of)}"

    rows.append(["right, first network", *(right(name, first=True) for name in names)])
    rows.append(["right, mean of all", *(right(name, first=False) for name in names)])
    heads = ("song", *(SHOWN[name] for name in names))
    return (
        f"{Table(heads, rows).markdown}\n\n57 features and tags: trained on {part['trained_on']} "
        "of the 733 published songs, those of listed artists but the nine's. Units: on those of "
        "`audio100` that are by other artists than the song. "
        f"{part['networks']} networks each; counts where they differ. **{MAY}.**"
    )


def cnn_text(part: Found) -> str:
    """Returns the three kinds of input side by side."""
    names = [name for name in (UNITS, TAGS, CNN, GTZAN) if name in part]
    names.sort(key=lambda name: -part[name]["accuracy"])
    rows = [
        [
            "CNN on spectrograms" if name == CNN else f"our MLP on {SHOWN[name]}",
            interval(part[name]),
            points(*part[name]["gain"]) if "gain" in part[name] else "–",
            f"{part[name]['configs']}", f"{part[name]['seconds']:,.0f}",
        ]
        for name in names
    ]  # fmt: skip
    heads = ("network", "accuracy", "less the CNN, points", "configs", "seconds")
    axes = "; ".join(f"{k} {', '.join(map(str, v))}" for k, v in part["axes"].items())
    gains = {name: part[name]["gain"] for name in names if "gain" in part[name]}
    sure = [SHOWN[name] for name, (_, low, high) in gains.items() if low > 0 or high < 0]
    clear = f"Clear are those of {', '.join(sure)}" if sure else "No difference is clear"
    return (
        f"{Table(heads, rows).markdown}\n\nFive folds of the hundred songs, the same for all; in "
        "each, config and epochs are chosen on a fifth of the train part and retrained on all of "
        f"it. The CNN: {axes}; up to {part['epochs']} epochs, batches of 16 segments, one seed; "
        "the others 5. Seconds are of choosing and retraining in all folds, programs included, "
        f"without the features, on {os.cpu_count()} cores that were shared with other programs "
        f"(load {part['load']:.0f}). Intervals of accuracies are over artists and songs, for "
        "fitted models; those of differences are over the folds, by the corrected t (Nadeau and "
        f"Bengio). {clear}. **{MAY}.**"
    )


def seconds_text(part: Found) -> str:
    """Returns seconds a song."""
    names = {"gtzan": "57 features", "musicnn": "tags and units"}
    rows = [
        [text, *(f"{part[name][run]:.2f}" for run in ("cold", "warm", "one"))]
        for name, text in names.items()
    ]
    ratio = part["musicnn"]["warm"] / part["gtzan"]["warm"]
    heads = ("`extract` of 30 s songs, seconds a song", "first time", "later", "one song alone")
    busy = part["load"] > 1.5 * part["cores"]
    others = f", on which other programs ran (load {part['load']:.0f})" if busy else ""
    return (
        f"{Table(heads, rows).markdown}\n\nThe command on a hundred songs, all of its start "
        f"included, divided by a hundred; {part['cores']} cores{others}. musicnn takes "
        f"{ratio:.1f} times the seconds of the 57 features. The first time its network is "
        "compiled. No GPU was at hand."
    )


def layers_text(part: Found) -> str:
    """Returns the differences from Keras layer by layer."""
    rows = [[f"`{name}`", f"{value:.1e}"] for name, value in part["layers"].items()]
    return (
        f"{Table(('layer', 'largest difference ÷ largest output'), rows).markdown}\n\n"
        f"{part['windows']} windows of a real song, {part['versions']}."
    )


def agreement_text(part: Found) -> str:
    """Says how well our tags agree with the published ones."""
    rows = [
        [text, f"{of['correlation']:.4f}", f"{of['difference']:.4f}", f"{of['largest']:.3f}"]
        for text, of in (
            ("every second, as published", part["1"]),
            ("every 3 s, as here", part["3"]),
        )
    ]
    heads = ("windows", "correlation", "mean difference", "largest")
    return f"Mean tags of {part['songs']} songs:\n\n{Table(heads, rows).markdown}"


def predictions_text(parts: Found) -> str:
    """Returns the predictions, and which came true."""
    marks = ["right" if each.holds(parts) else "**wrong**" for each in PREDICTIONS]
    rows = [[each.text, mark] for each, mark in zip(PREDICTIONS, marks, strict=True)]
    table = Table(("prediction", ""), rows).markdown
    return f"{marks.count('right')} of {len(marks)} came true.\n\n{table}"


def blocks(parts: Found) -> Iterator[tuple[str, str]]:
    """Yields what stands between the page's markers, by name."""
    yield "protocols", protocols_text(parts["protocols"])
    yield "heard", curve_text(parts["curve"], "heard")
    yield "unheard", curve_text(parts["curve"], "unheard")
    yield "artists", artists_text(parts["curve"])
    yield "default", default_text(parts["curve"])
    yield "songs", songs_text(parts["songs"])
    yield "cnn", cnn_text(parts["cnn"])
    yield "seconds", seconds_text(parts["seconds"])
    yield "agreement", agreement_text(parts["agreement"])
    yield "layers", layers_text(parts["layers"])
    yield "predictions", predictions_text(parts)


def measured() -> dict[str, Any]:
    """Returns the parts that have been measured."""
    return json.loads(MEASURED.read_text(encoding="utf-8")) if MEASURED.exists() else {}


def measure(name: str, data: Path) -> None:
    """Measures a part, and keeps it."""
    print(f"measuring {name}", flush=True)
    found = PARTS[name](data) | {"load": os.getloadavg()[1]}
    parts = measured() | {name: found}  # another process may have measured others
    ordered = {each: parts[each] for each in PARTS if each in parts}
    text = json.dumps(ordered, indent=1, ensure_ascii=False, default=float)
    MEASURED.write_text(text + "\n", encoding="utf-8")


def main() -> None:
    """Measures what is asked for, and rewrites the blocks between the markers."""
    if len(sys.argv) < 2 or not Path(sys.argv[1]).is_dir():
        sys.exit(__doc__)
    data, wanted = Path(sys.argv[1]), sys.argv[2:] or list(PARTS)
    if unknown := {*wanted} - {*PARTS, "text"}:
        sys.exit(f"no part {', '.join(sorted(unknown))}: give some of {', '.join(PARTS)}, or text")
    for name in wanted:
        if name != "text":
            measure(name, data)
    parts = measured()
    if missing := [name for name in PARTS if name not in parts]:
        sys.exit(f"{MEASURED.name} lacks {', '.join(missing)}: name them to measure them")
    for name, text in list(blocks(parts)):  # nothing is written where one fails
        fill(PAGE, name, text)
    pictures = {
        "pretrained": protocols_picture(parts["protocols"]),
        "learning_curve": curve_picture(parts["curve"]),
    }
    for name, figure in pictures.items():
        with Image.open(io.BytesIO(image_of(figure))) as image:
            small = image.convert("RGB").quantize(128)  # a third the size
            small.save(IMAGES / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
