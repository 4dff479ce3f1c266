import numpy as np
import pandas as pd
import pytest

from gtzan_jax.analysis.retraining_summary import (
    chosen_epoch,
    common_epochs,
    deviation_curves,
    kept_epoch,
    mean_curves,
    stopped_early,
)


def networks(test, validation=None, kept=(3, 3, 3)):
    """Returns the history of networks: fold 0 and 1, seeds 3 and 4. test: (networks, epochs)."""
    runs = [(0, 3), (0, 4), (1, 3), (1, 4)][: len(test)]
    rows = [
        {
            "fold": fold,
            "seed": seed,
            "epoch": epoch + 1,
            "test_accuracy": test[i][epoch],
            "kept": epoch + 1 == kept[i],
        }
        | ({} if validation is None else {"validation_accuracy": validation[i][epoch]})
        for i, (fold, seed) in enumerate(runs)
        for epoch in range(len(test[0]))
    ]
    # In any order: networks are told apart by fold and seed.
    return pd.DataFrame(rows).sample(frac=1, random_state=0).sort_values("epoch", kind="stable")


TEST = [[0.1, 0.5, 0.4], [0.2, 0.3, 0.6], [0.9, 0.1, 0.2]]


def test_the_kept_epoch_counts():
    ending = kept_epoch(networks(TEST))
    assert ending.mean == pytest.approx(0.4)
    assert ending.deviation == pytest.approx(np.std([0.4, 0.6, 0.2], ddof=1))
    assert ending.epochs.tolist() == [3, 3, 3]
    assert np.isnan(kept_epoch(networks(TEST[:1])).deviation)


def test_the_epoch_whose_weights_are_kept_counts():
    ending = kept_epoch(networks(TEST, kept=(2, 3, 1)))
    assert ending.mean == pytest.approx(np.mean([0.5, 0.6, 0.9]))
    assert ending.epochs.tolist() == [2, 3, 1]


def test_the_epoch_is_chosen_by_validation_whatever_the_test_part_says():
    validation = [[0.3, 0.2, 0.1], [0.1, 0.2, 0.3], [0.1, 0.2, 0.2]]
    ending = chosen_epoch(networks(TEST, validation))
    assert ending.epochs.tolist() == [1, 3, 2]  # the first of two that are equally good
    assert ending.mean == pytest.approx(np.mean([0.1, 0.6, 0.1]))
    assert chosen_epoch(networks(TEST)) is None


def test_curves_are_means_and_deviations_over_networks():
    frame = networks(TEST)
    np.testing.assert_allclose(mean_curves(frame)["test_accuracy"], np.mean(TEST, axis=0))
    np.testing.assert_allclose(deviation_curves(frame)["test_accuracy"], np.std(TEST, 0, ddof=1))
    assert mean_curves(frame).index.to_list() == [1, 2, 3]


@pytest.mark.parametrize(
    ("kept", "last", "early"),
    [((3, 3, 3), (3, 3, 3), False), ((1, 1, 1), (2, 2, 2), True), ((2, 3, 1), (3, 3, 2), True)],
)
def test_networks_that_keep_an_earlier_epoch_stopped_early(kept, last, early):
    frame = networks(TEST, kept=kept)
    ends = dict(zip([(0, 3), (0, 4), (1, 3)], last, strict=True))
    frame = frame[[row.epoch <= ends[row.fold, row.seed] for row in frame.itertuples()]]
    assert stopped_early(frame, 3) is early
    assert common_epochs(frame) == min(last)
