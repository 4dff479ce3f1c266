"""Features of songs by a pretrained network."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gtzan_jax.sound.musicnn import Windows
from gtzan_jax.sound.musicnn_weights import load_weights


def features_of_windows(songs: Sequence[Windows]) -> list[NDArray[np.float64]]:
    """Returns (parts, 250) for each song: tags and units, means over each part's windows."""
    from gtzan_jax.models.musicnn import outputs  # imports JAX

    made = outputs(load_weights(), np.concatenate([song.mel for song in songs]))
    each = np.split(made, np.cumsum([len(song.mel) for song in songs])[:-1])
    return [
        np.stack([own[places].mean(axis=0, dtype=np.float64) for places in song.places])
        for own, song in zip(each, songs, strict=True)
    ]
