"""What a process may meet, by the name of the file: for tests of the processes."""

import os
import signal
import sys
import time

from gtzan_jax.errors import InputError, SoundError


def rows_of(path):
    """Stands in for ``rows.rows_of``, or for whatever else processes compute."""
    print("a decoder's chatter", file=sys.stderr, flush=True)
    if path.stem.startswith("SIG"):
        os.kill(os.getpid(), getattr(signal, path.stem))
        time.sleep(60)
    if path.stem == "exit":
        os._exit(3)
    if path.stem == "bad":
        raise SoundError(f"{path}: it is bad")
    if path.stem == "bug":
        raise KeyError("of a decoder")
    if path.stem == "missing":
        raise InputError("librosa is missing")
    return [[1.0, float(os.getpid()), float(os.environ["MKL_NUM_THREADS"])]]
