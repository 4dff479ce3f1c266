"""Random weights in the place of musicnn's, which are not in the repository."""

import numpy as np

from gtzan_jax.files import save_arrays
from gtzan_jax.sound import musicnn_weights


def made_weights():
    """Returns arrays of the right names and shapes, of a size that keeps outputs near 1."""
    random = np.random.default_rng(0)
    made = {}
    for name, (_, shape) in musicnn_weights._kinds().items():
        size = np.prod(shape[:-1]) if "kernel" in name else 100
        values = random.normal(size=shape) / np.sqrt(size)
        if name.endswith(("gamma", "moving_variance")):
            values = 1 + np.abs(values)
        made[name] = values.astype(np.float32)
    return made


def put_weights():
    """Puts random weights into the cache of the tests, where commands find them."""
    path = musicnn_weights._cached()
    musicnn_weights._loaded.pop(path, None)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_arrays(path, made_weights(), {"format": 1})
