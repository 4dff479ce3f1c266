"""Writes docs/pretrained.md and its picture from docs/pretrained.json.

    python docs/make_pretrained.py DATA                # measures everything: 45 minutes, two cores
    python docs/make_pretrained.py DATA cnn curve      # measures these parts
    python docs/make_pretrained.py DATA text           # measures nothing

``pretrained_parts.py`` describes the folder DATA and has the parts (``PARTS``).
"""

import io
import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from pages import fill
from PIL import Image
from pretrained_parts import CNN, COUNTS, DIVIDED, GTZAN, LINEAR, OURS, PARTS, TAGS, UNITS

from gtzan_jax.tables.protocols import ARTISTS_APART
from gtzan_jax.views.plots.style import TEST, TRAIN, image_of, new_figure, tidy
from gtzan_jax.views.text import Table

PAGE = Path(__file__).with_name("pretrained.md")
MEASURED = PAGE.with_suffix(".json")
PICTURE = PAGE.parent / "images" / "pretrained.png"
MAY = "musicnn may have learned from some of these recordings, or others of their albums"
MARKERS = {
    "artist_kfold": "^", "fault_filtered": "v", "artist_folds": "P", "kfold": "o",
    "mixed_artists": "X",
}  # fmt: skip
SHOWN = {GTZAN: "57 features", TAGS: "50 tags", UNITS: "200 units"}
Found = Mapping[str, Any]  # a part of pretrained.json, or a row


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


def protocols_text(part: Found) -> str:
    """Returns the accuracies and gains of our network by protocol."""
    scores = {
        (name, row["protocol"], row["model"]): row
        for name in (GTZAN, TAGS)
        for row in part[name]["scores"]
    }
    gains = {(row["protocol"], row["model"]): row for row in part["gain"]}
    rows = [
        [SHOWN[name], *(interval(scores[name, p, OURS]) for p in DIVIDED)] for name in (GTZAN, TAGS)
    ]
    of = [gains[protocol, OURS] for protocol in DIVIDED]
    rows.append(["gain, points", *(points(g["difference"], g["low"], g["high"]) for g in of)])
    clear = sum(row["low"] is not None and row["low"] > 0 for row in gains.values())
    better = [
        row["model"]
        for row in part[TAGS]["comparison"]
        if row["protocol"] == "fault_filtered" and row["high"] < 0
    ]
    counts = ", ".join(f"{part['songs'][protocol]}" for protocol in DIVIDED)
    return (
        f"{Table(('our network', *DIVIDED), rows).markdown}\n\n"
        f"{clear} of {len(gains)} gains of the picture's models are clearly above 0. On tags under "
        f"fault_filtered, clearly better than our network: {', '.join(better) or 'none'}. Songs by "
        f"column: {counts}. Our network is the best of {part['configs']} configurations, selected "
        f"inside each train part and retrained with {part['seeds']} seeds (`gtzan_jax.baselines`). "
        "Intervals are at 95 %: of accuracies over artists and songs for fitted models; of gains, "
        "paired by song, over the folds where there are five or more, by the corrected t (Nadeau "
        "and Bengio), else over artists and songs. The published tags lack the validation part of "
        f"fault_filtered: a part of its train part, of other artists, replaces it. **{MAY}.**"
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
            of = [row for row in rows[name] if row["protocol"] == protocol]
            shift = 0.8 * ((turn + 0.5) / len(MARKERS) - 0.5)
            is_apart = protocol in ARTISTS_APART
            axes.errorbar(
                [row["accuracy"] for row in of],
                [models.index(row["model"]) + shift for row in of],
                xerr=[[abs(row["accuracy"] - row[end]) for row in of] for end in ("low", "high")],
                marker=marker, linestyle="none", markersize=5, linewidth=1.2,
                color=TEST if is_apart else TRAIN,
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


def curve_text(part: Found, artists: str) -> str:
    """Returns accuracies by number of songs, features and model."""
    counts = COUNTS[artists]
    found = {(row["features"], row["model"], row["songs"]): row for row in part[artists]}
    rows = [
        [SHOWN[name], model, *(interval(found[name, model, count]) for count in counts)]
        for name, model in dict.fromkeys((name, model) for name, model, _ in found)
    ]
    pairs = [(name, count) for name, model, count in found if model == OURS]
    ahead = sum(
        found[name, LINEAR, count]["accuracy"] > found[name, OURS, count]["accuracy"]
        for name, count in pairs
    )
    return (
        f"{Table(('features', 'model', *(f'{n} songs a genre' for n in counts)), rows).markdown}"
        f"\n\nLogistic regression is ahead of this configuration of our network in {ahead} of "
        f"{len(pairs)} pairs. **{MAY}.**"
    )


def default_text(part: Found) -> str:
    """Returns whether units are better than tags on the songs of audio100."""
    rows = [row for row in part["known"] if row["features"] == UNITS]
    less = [row["less tags"] for row in rows]
    ahead, clear = (sum(each[place] > 0 for each in less) for place in (0, 1))
    gains = [100 * difference for difference, *_ in less]
    return (
        f"Units are ahead of tags in {ahead} of {len(less)} comparisons, clearly in {clear}, by "
        f"{min(gains):+.1f} to {max(gains):+.1f} points (paired by song, over artists)."
    ).replace("-", "−")


def artists_text(part: Found) -> str:
    """Returns the number of artists of each genre of audio100."""
    alone = [genre for genre, count in part["artists"].items() if count == 1]
    others = [f"{genre} {count}" for genre, count in part["artists"].items() if count > 1]
    return (
        f"By the list of artists, all ten songs of {', '.join(alone[:-1])} and {alone[-1]} are by "
        f"one artist each; the other genres have more: {', '.join(others)}."
    )


def songs_text(part: Found) -> str:
    """Returns the share of nine songs that networks classify correctly, by features."""
    shares = []
    for name in (GTZAN, TAGS, UNITS):
        pairs = [(row["song"].partition(".")[0], row[name]) for row in part["rows"] if name in row]
        right = sum(classes.count(genre) / len(classes) for genre, classes in pairs)
        shares.append(f"{right:.1f} of {len(pairs)} by {SHOWN[name]}")
    return (
        "Nine songs, three each of classical, jazz and rock, by networks that were trained on "
        f"other artists' songs: {', '.join(shares)} are classified correctly, mean of "
        f"{part['networks']} networks. **{MAY}.**"
    )


def cnn_text(part: Found) -> str:
    """Returns networks on spectrograms and on features side by side."""
    names = sorted((UNITS, TAGS, CNN, GTZAN), key=lambda name: -part[name]["accuracy"])
    gains = {name: part[name]["gain"] for name in names if name != CNN}
    rows = [
        [
            "CNN on spectrograms" if name == CNN else f"our MLP on {SHOWN[name]}",
            interval(part[name]), points(*gains[name]) if name in gains else "–",
            f"{part[name]['configs']}", f"{part[name]['seconds']:,.0f}",
        ]
        for name in names
    ]  # fmt: skip
    heads = ("network", "accuracy", "less the CNN, points", "configs", "seconds")
    axes = "; ".join(f"{k} {', '.join(map(str, v))}" for k, v in part["axes"].items())
    sure = [SHOWN[name] for name, (_, low, high) in gains.items() if low > 0 or high < 0]
    clear = f"Clear are those of {', '.join(sure)}" if sure else "No difference is clear"
    return (
        f"{Table(heads, rows).markdown}\n\nFive folds, the same for all; configuration and epochs "
        "are selected on a fifth of the train part, and retrained on all of it. The CNN: "
        f"{axes}; up to {part['epochs']} epochs, batches of 16 segments, one seed; the others 5. "
        "Seconds: selection and retraining in all folds, with compilation, without features, on "
        f"{os.cpu_count()} cores shared with other programs (load {part['load']:.0f}). Intervals "
        "of accuracies are over artists and songs, for fitted models; of differences over the "
        f"folds, by the corrected t. {clear}. **{MAY}.**"
    )


def seconds_text(part: Found) -> str:
    """Returns seconds a song."""
    names = {"gtzan": "57 features", "musicnn": "tags and units"}
    rows = [
        [text, *(f"{part[name][run]:.2f}" for run in ("warm", "one"))]
        for name, text in names.items()
    ]
    heads = ("`extract` of 30 s songs, seconds a song", "a hundred songs", "one song alone")
    return (
        f"{Table(heads, rows).markdown}\n\nThe command, its start included, when its programs are "
        f"compiled; {part['cores']} cores. No GPU was at hand."
    )


def blocks(parts: Found) -> Iterator[tuple[str, str]]:
    """Yields the blocks between the page's markers, by name."""
    curve = parts["curve"]
    yield "protocols", protocols_text(parts["protocols"])
    yield "known artists", curve_text(curve, "known")
    yield "new artists", curve_text(curve, "new")
    yield "artists", artists_text(curve)
    yield "default", default_text(curve)
    yield "songs", songs_text(parts["songs"])
    yield "cnn", cnn_text(parts["cnn"])
    yield "seconds", seconds_text(parts["seconds"])


def main() -> None:
    """Measures what is asked for, and rewrites the blocks between the markers."""
    if len(sys.argv) < 2 or not Path(sys.argv[1]).is_dir():
        sys.exit(__doc__)
    parts = json.loads(MEASURED.read_text(encoding="utf-8"))
    for name in sys.argv[2:] or PARTS:
        if name != "text":
            parts[name] = PARTS[name](Path(sys.argv[1])) | {"load": os.getloadavg()[1]}
            text = json.dumps(parts, indent=1, ensure_ascii=False, default=float)
            MEASURED.write_text(f"{text}\n", encoding="utf-8")
    for name, text in list(blocks(parts)):  # nothing is written where one fails
        fill(PAGE, name, text)
    with Image.open(io.BytesIO(image_of(protocols_picture(parts["protocols"])))) as image:
        image.convert("RGB").quantize(128).save(PICTURE, optimize=True)  # a third of the size


if __name__ == "__main__":
    main()
