"""Predicts the genres of sound files; writes text for a terminal, JSON and a figure."""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gtzan_jax.errors import InputError, SoundError
from gtzan_jax.files import write_atomically
from gtzan_jax.inference.model import TrainedModel
from gtzan_jax.inference.model_files import load_model
from gtzan_jax.jobs.options import PredictOptions
from gtzan_jax.rundir.directory import check_place
from gtzan_jax.sound.files import left_out, songs_in
from gtzan_jax.text import flag, printable
from gtzan_jax.trainer.platforms import select_platform
from gtzan_jax.views import messages, predictions
from gtzan_jax.views.predictions import Answer
from gtzan_jax.views.text import counted

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def predict_songs(request: PredictOptions) -> bool:
    """Predicts songs and prints each prediction; returns True if all files could be read."""
    if request.plot:
        plot = Path(request.plot)
        if plot.suffix.lower() not in (".png", ".svg") or plot.is_dir():
            raise InputError(f"{flag('plot', plot)}: name a file that ends in .png or .svg")
        check_place(plot.parent, name="plot")
    model = load_model(request.run)
    check_sound(model, request.run, request.songs)
    paths = [path for song in request.songs for path in _files(song)]
    select_platform(request.platform)
    messages.warn_of_model(model.data, model.protocol)
    if not request.json:
        print(predictions.head(model, request.run), flush=True)
    answers = []
    for path in paths:
        try:
            prediction = model.predict_file(path, request.hop_seconds)
        except SoundError as error:
            answers.append(Answer(path, error=str(error)))
            print(f"error: {printable(error)}", file=sys.stderr)
            continue
        explanation = model.explain(prediction) if request.explain else None
        answers.append(Answer(path, prediction, explanation))
        if not request.json:
            print(f"\n{predictions.song(answers[-1])}", flush=True)
    if request.json:
        document = predictions.document(model, request.run, answers)
        print(json.dumps(document, indent=2, allow_nan=False))
    found = [answer for answer in answers if answer.prediction]
    if len(found) < len(answers):
        lost, files = len(answers) - len(found), counted(len(answers), "file")
        print(f"{lost} of {files} could not be predicted", file=sys.stderr)
    if request.plot and found:
        _draw(model, found, Path(request.plot))
    return len(found) == len(answers)


def check_sound(model: TrainedModel, run: str, songs: Sequence[str] = ()) -> None:
    """Raises InputError for a table, and for a model whose features are not made from sound."""
    tables = [song for song in songs if Path(song).suffix.lower() in (".csv", ".parquet")]
    wrong = f"{tables[0]} is a table, not sound" if tables else ""
    if model.front_end is None:
        wrong = f"the features of the model in {run} are not made from sound"
    if wrong:
        table = tables[0] if tables else "rows.csv"
        read = f"pandas.read_{Path(table).suffix.lower()[1:]}({table!r})"
        call = f"gtzan_jax.load_model({run!r}).predict({read})"
        raise InputError(f"{wrong}: this command predicts songs; for rows, in Python: {call}")


def _files(song: str) -> Iterator[str]:
    """Yields a file, or the sound files in a folder."""
    if os.path.isdir(song):
        for sentence in left_out(song):
            messages.warn(f"{song}: {sentence}")
        yield from (os.fspath(found.path) for found in songs_in(song))
    else:
        yield song


def _draw(model: TrainedModel, found: Sequence[Answer], path: Path) -> None:
    """Draws predictions over time, and a CNN's attributions in one file a song."""
    from gtzan_jax.views import plots

    note = predictions.note(model)
    made = [answer.prediction for answer in found if answer.prediction]
    _save(plots.over_time(made, model.genres, note), path)
    if model.config.family != "cnn":
        return
    for number, answer in enumerate(found, 1):
        if answer.prediction and answer.explanation:
            figure = plots.spectrogram_reasons(answer.prediction, answer.explanation, note)
            _save(figure, path.with_stem(f"{path.stem}_{number}"))


def _save(figure: "Figure", path: Path) -> None:
    from gtzan_jax.views import plots

    image = plots.image_of(figure, path.suffix[1:].lower())
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, image)
    except OSError as error:
        raise InputError(f"{flag('plot', path)}: cannot be written: {error.strerror}") from None
    print(printable(f"figure in {path}"), file=sys.stderr)
