"""Event files for TensorBoard: every run with its hyperparameters, and points to project.

tensorboardX writes the files: TensorBoard's own writer starts a thread for each, computes checksums
in Python, and imports TensorFlow where that is installed.
"""

import json
import struct
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import metadata, plugin_data_pb2, summary_v2
from tensorboard.plugins.hparams.api_pb2 import STATUS_SUCCESS
from tensorboard.plugins.text.summary_v2 import text_pb

from gtzan_jax.metrics import METRICS
from gtzan_jax.rundir.ranking import result_metrics
from gtzan_jax.space.config import Config
from gtzan_jax.space.sweep import Sweep
from gtzan_jax.tables.protocols import PROTOCOLS
from gtzan_jax.text import printable
from gtzan_jax.views.text import by_stem

# Without this, tensorboardX imports PyTorch, two seconds; a module that is None cannot be imported.
_had_torch = sys.modules.setdefault("torch", None)  # type: ignore[arg-type]
try:
    from tensorboardX.record_writer import RecordWriter
finally:
    if _had_torch is None:
        del sys.modules["torch"]

if TYPE_CHECKING:
    from gtzan_jax.rundir.history import History

MAX_RUNS = 2_000


def run_name(rank: int, config: Config, digits: int = 4) -> str:
    """Returns the folder of a config's runs: its rank, by which they are listed, and its values."""
    return " ".join([f"{rank:0{digits}d}", *by_stem(config).values()])


def write_runs(
    folder: Path, sweep: Sweep, history: "History", order: Sequence[str], is_segmented: bool = False
) -> None:
    """Writes trials as runs with their hyperparameters and curves, a session group a config.

    ``order`` has ids of the configs, best first. Beyond ``MAX_RUNS``, which TensorBoard cannot
    show, only runs of the best are written.
    """
    metrics = PROTOCOLS[sweep.protocol].metrics_of(is_segmented)
    end = plugin_data_pb2.SessionEndInfo(status=STATUS_SUCCESS, end_time_secs=time.time())
    data = plugin_data_pb2.HParamsPluginData(session_end_info=end)
    plugin = metadata.create_summary_metadata(data)
    ending = Summary(value=[Summary.Value(tag=metadata.SESSION_END_INFO_TAG, metadata=plugin)])
    runs = [(m.fold, m.seed) for m in history.trials if m.config_id == history.trials[0].config_id]
    folds, seeds = (len(set(column)) > 1 for column in zip(*runs, strict=True))
    names = ["/".join([f"fold{f}"] * folds + [f"seed{s}"] * seeds) for f, s in runs]
    shown = order[: max(1, MAX_RUNS // len(runs))]
    # Columns of the HParams page: once, in the first run, since a file at the root would be a run.
    first = [
        summary_v2.hparams_config_pb(
            hparams=[summary_v2.HParam(name, _domain(sweep, name)) for name in sweep.axes],
            metrics=[
                summary_v2.Metric(f"metrics/{metric}", display_name=metric)
                for metric in result_metrics(sweep.protocol, is_segmented)
            ],
        )
    ]
    ranked = zip(shown, history.places_of(shown), strict=True)
    for rank, (config_id, trials) in enumerate(ranked, start=1):
        config = sweep.configs[sweep.places[config_id]]
        name = run_name(rank, config)
        start = summary_v2.hparams_pb(dict(config), trial_id=name)
        for path, trial in zip(names, trials, strict=True):
            curves = curve_summaries(history.figures[trial, : history.last[trial]], metrics)
            _write(folder / name / path, [*first, start, *curves, ending])
            first = []


def curve_summaries(history: np.ndarray, metrics: Sequence[str]) -> Iterator[tuple[int, Summary]]:
    """Yields epochs, from 1, with their figures. history: (epochs, metrics) float32."""
    # Tags of one group, so that their cards lie side by side.
    columns = [(f"metrics/{metric}", METRICS.index(metric)) for metric in metrics]
    for epoch, figures in enumerate(history.tolist(), start=1):
        values = [Summary.Value(tag=tag, simple_value=figures[column]) for tag, column in columns]
        yield epoch, Summary(value=values)


def write_curves(run: Path, history: np.ndarray, metrics: Sequence[str]) -> None:
    """Writes a run of curves only. history: (epochs, metrics) float32."""
    _write(run, curve_summaries(history, metrics))


def write_notes(folder: Path, texts: Mapping[str, str], images: Mapping[str, bytes]) -> None:
    """Writes texts in Markdown, and figures as PNG files, by their tags."""
    notes = [text_pb(tag, text) for tag, text in texts.items()]
    figures = [_image_summary(f"figures/{tag}", image) for tag, image in images.items()]
    _write(folder, [*notes, *figures])


def _domain(sweep: Sweep, axis: str) -> summary_v2.Domain:
    """Returns the values, or the interval, of an axis."""
    if axis not in sweep.ranges:
        return summary_v2.Discrete(sweep.axes[axis])
    found = sweep.ranges[axis]
    interval = summary_v2.IntInterval if found.is_whole else summary_v2.RealInterval
    return interval(found.low, found.high)


def _image_summary(tag: str, png: bytes) -> Summary:
    width, height = struct.unpack(">2I", png[16:24])  # of its header
    image = Summary.Image(height=height, width=width, colorspace=4, encoded_image_string=png)
    return Summary(value=[Summary.Value(tag=tag, image=image)])


def _write(run: Path, summaries: Iterable[Summary | tuple[int, Summary]]) -> None:
    """Writes an event file of summaries, with or without steps."""
    now = time.time()
    events = [Event(wall_time=now, file_version="brain.Event:2")]
    for each in summaries:
        step, summary = each if isinstance(each, tuple) else (0, each)
        events.append(Event(wall_time=now, step=step, summary=summary))
    run.mkdir(parents=True, exist_ok=True)
    writer = RecordWriter(str(run / f"events.out.tfevents.{now:.0f}"))
    try:
        for event in events:
            writer.write(event.SerializeToString())
    finally:
        writer.close()


def write_projector(
    folder: Path, name: str, vectors: np.ndarray, columns: Mapping[str, Sequence[str]]
) -> None:
    """Writes (points, dimensions) vectors for TensorBoard's projector.

    ``columns`` label and colour the points: at least two, since the projector takes the first line
    for a header only if there is a tab in it.
    """
    table = [list(columns), *zip(*columns.values(), strict=True)]
    cells = ([printable(cell) for cell in row] for row in table)
    numbers = ([f"{number:.7g}" for number in vector] for vector in vectors.tolist())
    folder.mkdir(parents=True, exist_ok=True)
    for stem, rows in (("metadata", cells), ("tensors", numbers)):
        text = "".join("\t".join(row) + "\n" for row in rows)
        (folder / f"{stem}.tsv").write_text(text, encoding="utf-8", newline="\n")
    paths = 'tensor_path: "tensors.tsv" metadata_path: "metadata.tsv"'
    config = f"embeddings {{ tensor_name: {json.dumps(name)} {paths} }}\n"
    (folder / "projector_config.pbtxt").write_text(config, encoding="utf-8")
