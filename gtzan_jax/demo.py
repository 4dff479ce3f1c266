"""Opens a page that says which genres songs are of, for this machine's browser.

  python -m gtzan_jax.demo runs/RUN
  python -m gtzan_jax.demo runs/RUN --port=8080 --max_megabytes=500

Drop songs on the page, or record one. Only users of this machine reach it,
nothing of a song leaves it, and no song is kept. Ctrl-C ends the page.

pip install -e '.[demo]' brings Gradio, which the page is made with.
"""

from gtzan_jax import cli
from gtzan_jax.jobs.options import DemoOptions


def main(options: DemoOptions) -> None:
    """Serves the page until a signal ends it."""
    from gtzan_jax.jobs.serving import serve

    serve(options)


if __name__ == "__main__":
    cli.run(main, DemoOptions)
