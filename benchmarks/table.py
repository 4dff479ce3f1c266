"""The table, loaded as with a peer: pandas, and scikit-learn for the split.

The rows of the parts and their order are those of ``gtzan_jax.tables.protocols.random_split``
with seed 0.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler


class Arrays(NamedTuple):
    """The train and the test part, standardised."""

    x_train: NDArray[np.float32]  # (train, features)
    y_train: NDArray[np.int64]  # (train,)
    x_test: NDArray[np.float32]  # (test, features)
    y_test: NDArray[np.int64]  # (test,)


def load_arrays(path: str) -> Arrays:
    """Loads a CSV, splits it 70:30 with seed 0, and standardises it by the train part."""
    table = pd.read_csv(path)
    y, _ = pd.factorize(table["label"], sort=True)
    x = table.drop(columns=["filename", "length", "label"]).to_numpy(np.float64)
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.3, random_state=0)
    scaler = StandardScaler().fit(x_train)
    return Arrays(
        scaler.transform(x_train).astype(np.float32),
        y_train.astype(np.int64),
        scaler.transform(x_test).astype(np.float32),
        y_test.astype(np.int64),
    )
