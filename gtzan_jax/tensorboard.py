"""Event files for TensorBoard: every run with its hyperparameters, and an overview.

TensorBoard's HParams page takes its columns from the first experiment summary it meets, so
there is exactly one, at the root; a run's folder holds the start and end of its session and
its curves. The files are written with tensorboardX's synchronous writer: its
``SummaryWriter`` starts a thread and a queue for each run, and repeats the experiment.
"""

import io
import json
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gtzan_jax.space import HYPERPARAMETERS, Config, Sweep
from gtzan_jax.text import printable
from gtzan_jax.training import METRICS

# tensorboardX imports PyTorch where it is installed, two seconds for tensors that are never
# passed to it here; a module that is None cannot be imported.
_had_torch = sys.modules.setdefault("torch", None)  # type: ignore[arg-type]
try:
    from tensorboardX.event_file_writer import EventsWriter
    from tensorboardX.proto import api_pb2, plugin_hparams_pb2
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.proto.summary_pb2 import Summary, SummaryMetadata
    from tensorboardX.summary import text as text_summary
finally:
    if _had_torch is None:
        del sys.modules["torch"]

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_TOP = 10

MAX_RUNS = 2_000


def run_name(config_id: int, config: Config) -> str:
    """Returns the folder of a config's runs: its id and its hyperparameters."""
    return f"{config_id:04d}_{config.name}"


def write_runs(
    folder: Path,
    sweep: Sweep,
    seeds: Sequence[int],
    history: np.ndarray,
    order: Sequence[int],
) -> None:
    """Writes members as runs with their hyperparameters and their four curves.

    There is a folder for every member, or for those of the best configs where there would be
    more than ``MAX_RUNS``, which TensorBoard could not show.

    Args:
      folder: the log directory; one folder a run below it.
      sweep: the sweep.
      seeds: the seeds; the runs of a config form one session group.
      history: (configs, seeds, epochs, 4) float32, in the order of ``training.METRICS``.
      order: ids of the configs, best first.
    """
    now = time.time()
    _write(folder, [_hparams_event(now, "experiment", experiment=_experiment(sweep, now))])
    success = api_pb2.Status.Value("STATUS_SUCCESS")
    end = plugin_hparams_pb2.SessionEndInfo(status=success, end_time_secs=now)
    ending = _hparams_event(now, "session_end_info", session_end_info=end)
    configs = sweep.configs()
    for config_id in order[: max(1, MAX_RUNS // len(seeds))]:
        config = configs[config_id]
        name = run_name(config_id, config)
        start = plugin_hparams_pb2.SessionStartInfo(group_name=name, start_time_secs=now)
        for hyperparameter in HYPERPARAMETERS:
            _set_value(start.hparams[hyperparameter], getattr(config, hyperparameter))
        starting = _hparams_event(now, "session_start_info", session_start_info=start)
        for index, seed in enumerate(seeds):
            run = folder / name if len(seeds) == 1 else folder / name / f"seed{seed}"
            _write(run, [starting, *_curve_events(now, history[config_id, index]), ending])


def write_overview(
    folder: Path,
    sweep: Sweep,
    results: "pd.DataFrame",
    history: np.ndarray,
    texts: Mapping[str, str],
    figures: "Mapping[str, Figure]",
    retrained: np.ndarray | None,
) -> None:
    """Writes what one wants to see first, as a log directory of few runs.

    These are the curves of the ten best configs (mean over the seeds), the mean curves of
    every value of every hyperparameter, the retrained model's curves, texts and figures.

    Args:
      folder: the log directory.
      sweep: the sweep.
      results: from ``rundir.results_table``.
      history: (configs, seeds, epochs, 4) float32, in the order of ``training.METRICS``.
      texts: Markdown by tag.
      figures: by tag.
      retrained: (epochs, 4) history of the retrained model; None if there is none.
    """
    now = time.time()
    configs = sweep.configs()
    by_config = history.mean(axis=1)
    for rank, config_id in enumerate(results["config_id"][:_TOP], start=1):
        name = f"top/{rank:02d}_{configs[config_id].name}"
        _write(folder / name, _curve_events(now, by_config[config_id]))
    for hyperparameter in HYPERPARAMETERS:
        values = np.array([getattr(config, hyperparameter) for config in configs])
        for value in sweep.axes[hyperparameter]:
            # A diverged member would make every mean that it is part of meaningless.
            curves = by_config[values == value]
            curves = curves[np.isfinite(curves).all(axis=(1, 2))]
            if len(curves):
                name = f"mean/{hyperparameter}={value}"
                _write(folder / name, _curve_events(now, curves.mean(axis=0)))
    if retrained is not None:
        _write(folder / "retrained", _curve_events(now, retrained))
    notes = [_event(now, text_summary(tag, text)) for tag, text in texts.items()]
    images = [
        _event(now, _image_summary(f"figures/{tag}", figure)) for tag, figure in figures.items()
    ]
    _write(folder, [*notes, *images])


def _experiment(sweep: Sweep, now: float) -> api_pb2.Experiment:
    """Describes the columns of the HParams page: hyperparameters with domains, metrics."""
    infos = []
    for hyperparameter in HYPERPARAMETERS:
        values = sweep.axes[hyperparameter]
        kind = "DATA_TYPE_STRING" if isinstance(values[0], str) else "DATA_TYPE_FLOAT64"
        info = api_pb2.HParamInfo(name=hyperparameter, type=api_pb2.DataType.Value(kind))
        for value in values:
            _set_value(info.domain_discrete.values.add(), value)
        infos.append(info)
    metrics = [
        api_pb2.MetricInfo(name=api_pb2.MetricName(tag=metric), display_name=metric)
        for metric in ("test_accuracy", "test_loss", "train_accuracy", "train_loss")
    ]
    return api_pb2.Experiment(
        name=sweep.name, time_created_secs=now, hparam_infos=infos, metric_infos=metrics
    )


def _set_value(target: Any, value: Any) -> None:
    """Sets a protobuf ``Value`` to a string or a number."""
    if isinstance(value, str):
        target.string_value = value
    else:
        target.number_value = value


def _hparams_event(now: float, kind: str, **content: Any) -> Event:
    """Wraps a message of the HParams plugin into an event."""
    message = plugin_hparams_pb2.HParamsPluginData(version=0, **content)
    plugin = SummaryMetadata.PluginData(plugin_name="hparams", content=message.SerializeToString())
    value = Summary.Value(tag=f"_hparams_/{kind}", metadata=SummaryMetadata(plugin_data=plugin))
    return _event(now, Summary(value=[value]))


def _curve_events(now: float, history: np.ndarray) -> list[Event]:
    """Returns one event an epoch with the four scalars. history: (epochs, 4) float32."""
    return [
        _event(
            now,
            Summary(
                value=[
                    Summary.Value(tag=metric, simple_value=figure)
                    for metric, figure in zip(METRICS, figures, strict=True)
                ]
            ),
            epoch,
        )
        for epoch, figures in enumerate(history.tolist(), start=1)
    ]


def _image_summary(tag: str, figure: "Figure") -> Summary:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    width, height = (int(side) for side in figure.get_size_inches() * figure.dpi)
    image = Summary.Image(
        height=height, width=width, colorspace=4, encoded_image_string=buffer.getvalue()
    )
    return Summary(value=[Summary.Value(tag=tag, image=image)])


def _event(now: float, summary: Summary, step: int = 0) -> Event:
    return Event(wall_time=now, step=step, summary=summary)


def _write(run: Path, events: Sequence[Event]) -> None:
    run.mkdir(parents=True, exist_ok=True)
    writer = EventsWriter(str(run / "events"))
    try:
        for event in events:
            writer.write_event(event)
    finally:
        writer.close()


def write_projector(
    folder: Path, name: str, vectors: np.ndarray, columns: Mapping[str, Sequence[str]]
) -> None:
    """Writes points for TensorBoard's projector, which shows their PCA in 3-D in the browser.

    tensorboardX's helper appends to an older configuration and breaks its table at a tab or
    line end in a name.

    Args:
      folder: the log directory.
      name: what the points are.
      vectors: (points, dimensions) float.
      columns: what is known of each point, to label and colour it by: at least two, since the
        projector takes the first line for a header only if there is a tab in it.
    """
    table = [list(columns), *zip(*columns.values(), strict=True)]
    cells = ([printable(cell) for cell in row] for row in table)  # no tabs, no line ends
    numbers = ([f"{number:.7g}" for number in vector] for vector in vectors.tolist())
    folder.mkdir(parents=True, exist_ok=True)
    _write_tsv(folder / "metadata.tsv", cells)
    _write_tsv(folder / "tensors.tsv", numbers)
    paths = 'tensor_path: "tensors.tsv" metadata_path: "metadata.tsv"'
    config = f"embeddings {{ tensor_name: {json.dumps(name)} {paths} }}\n"
    (folder / "projector_config.pbtxt").write_text(config, encoding="utf-8")


def _write_tsv(path: Path, rows: Iterable[Sequence[str]]) -> None:
    lines = ("\t".join(row) + "\n" for row in rows)
    path.write_text("".join(lines), encoding="utf-8", newline="\n")
