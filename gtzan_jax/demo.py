"""Serves a page that predicts the genres of songs, for this machine's browser.

  python -m gtzan_jax.demo runs/RUN
  python -m gtzan_jax.demo runs/RUN --port=8080 --max_megabytes=500

Drop songs on the page, or record one. Without --share only users of this
machine can open the page, and no sound leaves the machine. No song is kept.
Ctrl-C ends the page.

The page needs Gradio: pip install -e '.[demo]'
"""

from gtzan_jax import cli
from gtzan_jax.jobs.options import DemoOptions


def main(options: DemoOptions) -> None:
    """Serves the page until a signal ends it."""
    from gtzan_jax.jobs.serving import serve

    serve(options)


if __name__ == "__main__":
    cli.run(main, DemoOptions)
