"""The splits that models are compared on: folds of protocols, each with a validation part."""

import numpy as np

from gtzan_jax.errors import InputError
from gtzan_jax.jobs.options import ALL_PROTOCOLS
from gtzan_jax.tables.folds import Fold
from gtzan_jax.tables.protocols import PROTOCOLS, Splits, make_splits, repeats_of
from gtzan_jax.tables.schema import FeatureTable
from gtzan_jax.tables.splits import VALIDATION_SHARE, deal
from gtzan_jax.views import messages


def splits_of(table: FeatureTable, protocol: str, split_seed: int, num_folds: int) -> list[Splits]:
    """Divides a table by a protocol, or by all, each fold with a validation part.

    "all" leaves out protocols whose list of tracks is not of this table, with a warning, and the
    leaky one where songs have one row.

    Raises:
      InputError: the table cannot be divided, or its features cannot be standardised.
    """
    fitting = [name for name, p in PROTOCOLS.items() if table.is_segmented or not p.leak]
    all_splits = []
    for name in fitting if protocol == ALL_PROTOCOLS else [protocol]:
        try:
            splits = make_splits(table, name, split_seed, num_folds)
        except InputError as error:
            if protocol != ALL_PROTOCOLS or not PROTOCOLS[name].goes_by:
                raise
            messages.warn(f"{name} is left out: {error}")
            continue
        together = np.arange(len(table.y)) if splits.protocol.leak else repeats_of(table)
        folds = tuple(with_validation(table, fold, split_seed, together) for fold in splits.folds)
        all_splits.append(Splits(table, splits.protocol, split_seed, folds, splits.left_out))
        all_splits[-1].arrays  # noqa: B018 — refuses features that cannot be standardised
    return all_splits


def with_validation(table: FeatureTable, fold: Fold, seed: int, together: np.ndarray) -> Fold:
    """Returns a fold with a validation part: its own, or a stratified fifth of its train part.

    together is (table's rows,), the numbers of groups each of which stays on one side.
    """
    if len(fold.validation):
        return fold
    places = deal(table.y[fold.train], together[fold.train], np.random.RandomState(seed))
    held = places < VALIDATION_SHARE
    return Fold(fold.train[~held], fold.train[held], fold.test)
