"""The demo page, made with Gradio."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio

from gtzan_jax.errors import InputError
from gtzan_jax.inference.model import TrainedModel
from gtzan_jax.jobs.options import DemoOptions
from gtzan_jax.resources import resource
from gtzan_jax.text import printable
from gtzan_jax.views import song_page
from gtzan_jax.views.predictions import Answer

_HOST = "127.0.0.1"
_FONTS = ("system-ui", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif")
_CLEANING = (60, 3600)  # seconds: interval of the clean-up, and the age of removed uploads


class Page:
    """Predicts uploaded songs, and deletes them.

    The song in a session's player stays until it is replaced or the page is closed.
    """

    def __init__(self, model: TrainedModel, options: DemoOptions) -> None:
        self._model, self._options = model, options
        self._played: dict[str, str] = {}  # by session

    @contextlib.contextmanager
    def launched(self) -> Iterator[tuple[str, str | None]]:
        """Serves the page; yields its address and its public link, if it is shared."""
        port, blocks = self._options.port, self._blocks()
        known = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
        os.environ["no_proxy"] = ",".join(filter(None, [known, _HOST]))  # Gradio calls itself
        try:
            blocks.launch(
                server_name=_HOST, server_port=port, share=self._options.share, quiet=True,
                inline=False, prevent_thread_lock=True, footer_links=[], pwa=False, ssr_mode=False,
                mcp_server=False, enable_monitoring=False,
                max_file_size=self._options.max_megabytes * 2**20,
                theme=gradio.themes.Default(primary_hue="blue", font=_FONTS),
                css_paths=resource("views", "templates", "song.css"),
            )  # fmt: skip
        except OSError:
            busy = f"--port={port} is" if port else "all ports from 7860 to 7959 are"
            raise InputError(f"{busy} in use or not allowed; give another --port") from None
        try:
            yield str(blocks.local_url), blocks.share_url
        finally:
            blocks.close(verbose=False)

    def _blocks(self) -> gradio.Blocks:
        most = f"up to {self._options.max_megabytes:,} MB"
        one: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "model"}
        blocks = gradio.Blocks(
            title="Which genre is it?", analytics_enabled=False, delete_cache=_CLEANING
        )
        with blocks:
            gradio.HTML("<h1>Which genre is it?</h1>")
            with gradio.Tab("A song"), gradio.Row():
                with gradio.Column(min_width=320):
                    song = gradio.Audio(
                        label=f"Drop or record a song, {most}", type="filepath", editable=False,
                        sources=["upload", "microphone"], buttons=[],
                    )  # fmt: skip
                    genres = gradio.HTML()
                with gradio.Column(min_width=320):
                    details = gradio.HTML()
            with gradio.Tab("Several songs"):
                label = f"Drop songs, each {most}"
                songs = gradio.File(label=label, file_count="multiple", height=150)
                table = gradio.HTML()
            gradio.HTML(song_page.about(self._model, self._options.run, self._options.share))
            song.change(self.predict_one, song, [genres, details], **one)
            predicted = songs.upload(self.predict_several, songs, table, **one)
            predicted.then(lambda: None, None, songs)  # clears the list: the files are deleted
            blocks.unload(self.leave)
        return blocks

    def predict_one(self, path: str | None, request: gradio.Request) -> tuple[str, str]:
        """Returns HTML of the song in the player: its genres, and their explanation."""
        self.leave(request, path)
        if path is None:
            return "", ""
        self._played[str(request.session_hash)] = path
        return song_page.song(self._model, self.answer(path, explain=True))

    def predict_several(self, paths: Sequence[str] | None) -> Iterator[str]:
        """Yields the table of the songs predicted so far."""
        known, answers = dict[str, Answer](), []
        try:
            for path in paths or ():  # copies have one path
                known[path] = known.get(path) or self.answer(path)
                self._remove_unplayed(path)
                answers.append(known[path])
                yield song_page.table(self._model, answers)
        finally:  # where the page is closed before all are predicted
            for path in {*(paths or ())} - known.keys():
                self._remove_unplayed(path)

    def answer(self, path: str, explain: bool = False) -> Answer:
        """Predicts a file; the answer has the file's name, not its path."""
        name = Path(path).name
        try:
            prediction = self._model.predict_file(path, self._options.hop_seconds)
            explanation = self._model.explain(prediction) if explain else None
        except InputError as error:
            return Answer(name, error=str(error).replace(f"{printable(path)}: ", ""))
        return Answer(name, prediction, explanation)

    def leave(self, request: gradio.Request, kept: str | None = None) -> None:
        """Deletes the song in a session's player, unless it is ``kept``."""
        before = self._played.pop(str(request.session_hash), None)
        if before and before != kept:
            self._remove_unplayed(before)

    def _remove_unplayed(self, path: str) -> None:
        """Deletes an upload and its folder, unless it is in a player."""
        if path not in self._played.values():
            with contextlib.suppress(OSError):
                os.remove(path)
                os.rmdir(os.path.dirname(path))
