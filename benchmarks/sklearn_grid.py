"""scikit-learn's grid search on all cores: ``python -m benchmarks.sklearn_grid --data=CSV``.

``MLPClassifier`` has no dropout, no leaky ReLU, no RMSprop, no choice of initial weights and no
accuracy between epochs: of the sweep's hyperparameters only the layer widths and two of the three
optimizers remain. These 16 configs are fitted several times; the parent projects. Prints one line
of JSON.
"""

import argparse
import itertools
import json
import time

import numpy as np
from sklearn.model_selection import GridSearchCV, PredefinedSplit
from sklearn.neural_network import MLPClassifier

from benchmarks.grid import the_sweep
from benchmarks.table import load_arrays
from gtzan_jax.space.sweep import Sweep


def search_of(sweep: Sweep, fold: PredefinedSplit, epochs: int, repeats: int) -> GridSearchCV:
    """Returns the grid search over the supported configs.

    Args:
      sweep: the sweep.
      fold: the test rows.
      epochs: passes over the train part.
      repeats: seeds of each config.
    """
    model = MLPClassifier(
        activation="relu",
        alpha=0.0,
        batch_size=sweep.batch_size,
        max_iter=epochs,
        n_iter_no_change=epochs,
        momentum=0.0,
        epsilon=1e-7,
    )
    shapes = list(itertools.product(*(sweep.axes[f"num_units{i}"] for i in (1, 2, 3))))
    grid = [
        {
            "hidden_layer_sizes": shapes,
            "solver": [solver],
            "learning_rate_init": [sweep.learning_rates[solver]],
            "random_state": range(repeats),
        }
        for solver in ("adam", "sgd")
    ]
    return GridSearchCV(
        model, grid, cv=fold, n_jobs=-1, refit=False, scoring="accuracy", return_train_score=True
    )


def main() -> None:
    """Fits the grid and prints its seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="path of the CSV")
    parser.add_argument("--epochs", type=int, help="default: the sweep's")
    parser.add_argument("--repeats", type=int, default=6, help="seeds of each of the 16 configs")
    given = parser.parse_args()
    sweep, data = the_sweep(), load_arrays(given.data)
    x = np.concatenate([data.x_train, data.x_test])
    y = np.concatenate([data.y_train, data.y_test])
    fold = PredefinedSplit([-1] * len(data.y_train) + [0] * len(data.y_test))
    epochs = given.epochs or sweep.epochs
    search_of(sweep, fold, 1, 1).fit(x, y)  # starts the workers
    begun = time.perf_counter()
    search = search_of(sweep, fold, epochs, given.repeats).fit(x, y)
    answer = {
        "seconds": time.perf_counter() - begun,
        "runs": len(search.cv_results_["params"]),
        "best_accuracy": float(search.best_score_),
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
