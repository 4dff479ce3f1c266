"""The votes of a song's chunks, of any of scikit-learn's models."""

from typing import Any

import numpy as np

from gtzan_jax.tables.folds import songs_of


def vote_hits(model: Any, x: np.ndarray, y: np.ndarray, songs: np.ndarray) -> np.ndarray:
    """Returns (songs,) float64 whether the chunks of each song together are recognised.

    The class of the largest mean probability wins, or, where a model has none, as an SVM, of the
    largest mean decision value. Not of log-probabilities: those of trees are often of 0.

    Args:
      model: fitted.
      x: (rows, features).
      y: (rows,) classes.
      songs: (rows,) the number of each row's song.
    """
    proba = hasattr(model, "predict_proba")
    scores = model.predict_proba(x) if proba else model.decision_function(x)
    if scores.ndim == 1:  # of two classes, for the second
        scores = np.stack([-scores, scores], axis=1)
    first, number = songs_of(songs)
    votes = np.zeros((len(first), scores.shape[1]))
    np.add.at(votes, number, scores)
    hits: np.ndarray = model.classes_[votes.argmax(axis=1)] == y[first]
    return hits.astype(np.float64)
