"""Serves the demo page on this machine; no song is kept."""

import os
import signal
import tempfile
import threading

from gtzan_jax.errors import InputError
from gtzan_jax.inference.model_files import load_model
from gtzan_jax.jobs.options import DemoOptions
from gtzan_jax.jobs.predicting import check_sound
from gtzan_jax.text import printable
from gtzan_jax.trainer.platforms import select_platform
from gtzan_jax.views import messages, predictions

_SHARED = (
    "anyone with the public link can use this page, and songs dropped there pass through Gradio's "
    "servers; the link ends with this command"
)
_COLAB = (
    "on Colab your browser cannot reach this address: add --share, which makes a public link; see "
    "docs/sound.md"
)


def serve(options: DemoOptions) -> None:
    """Serves the page until a signal raises ``Interrupted``, then deletes all uploads."""
    model = load_model(options.run)
    check_sound(model, options.run)
    with tempfile.TemporaryDirectory(prefix="gtzan_jax-demo-", ignore_cleanup_errors=True) as cache:
        # Read when Gradio is imported, or later.
        os.environ |= {
            "GRADIO_TEMP_DIR": cache,
            "GRADIO_ANALYTICS_ENABLED": "False",
            "GRADIO_RUN_HISTORY": "False",  # it would keep results in the browser
            "HF_HUB_DISABLE_TELEMETRY": "1",
        }
        try:
            from gtzan_jax.jobs.page import Page
        except ImportError as error:
            raise InputError(
                f"the page needs the package gradio ({printable(error)}): pip install -e '.[demo]'"
            ) from None
        if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # of a terminal that is closed
            signal.signal(signal.SIGHUP, signal.getsignal(signal.SIGTERM))
        select_platform(options.platform)
        messages.warn_of_model(model.data, model.protocol)
        print(predictions.head(model, options.run), flush=True)
        with Page(model, options).launched() as (address, link):
            print(f"\npage at {address} (Ctrl-C stops it)", flush=True)
            if link:
                print(f"public link: {link}", flush=True)
                messages.warn(_SHARED)
            elif options.share:
                messages.warn("--share: no public link could be made; the reason is above")
            elif "COLAB_RELEASE_TAG" in os.environ:
                messages.warn(_COLAB)
            threading.Event().wait()
