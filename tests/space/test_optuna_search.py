import builtins
import math

import pytest
from conftest import make_sweep

from gtzan_jax.errors import InputError
from gtzan_jax.space.optuna_search import OptunaSearch
from gtzan_jax.space.search import Score
from gtzan_jax.space.sweep import SAMPLERS

optuna = pytest.importorskip("optuna")

RANGES = {
    "num_units1": {"low": 4, "high": 12, "step": 4},
    "dropout1": {"low": 0.0, "high": 0.5},
    "learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
    "activation": ["relu", "leaky_relu"],
    "optimizer": ["adam"],
}


def sweep_of(kind, axes=RANGES, **search):
    """Returns a sweep by one of Optuna's samplers."""
    search = {"kind": kind, "num_configs": 30, "batch": 8, "seed": 1} | search
    rates = {"adam": 0.001, "sgd": 0.01, "rmsprop": 0.001}
    rates = None if "learning_rate" in axes else rates
    return make_sweep(axes=axes, search=search, protocol="holdout", learning_rates=rates)


def score_of(config):
    """Returns a made-up score: best in the middle of the learning rates, and diverged above."""
    distance = abs(math.log10(config["learning_rate"]) + 3)
    if config["learning_rate"] > 0.05:
        return Score(math.nan, math.nan)
    return Score(0.8 - 0.2 * distance - 0.2 * config["dropout1"], distance)


def played(search):
    """Returns the batches of a search, told the made-up scores."""
    batches = []
    while proposal := search.ask():
        assert search.ask() == proposal
        assert (proposal.first_epoch, proposal.epochs) == (0, 2)
        batches.append(proposal.configs)
        search.tell({config.id: score_of(config) for config in proposal.configs})
    return batches


@pytest.mark.parametrize("kind", SAMPLERS)
def test_samplers_propose_batches_and_the_study_can_be_opened(tmp_path, kind):
    sweep = sweep_of(kind)
    assert sweep.configs == ()
    search = OptunaSearch(sweep, tmp_path / "study.journal")
    batches = played(search)
    assert [len(batch) for batch in batches] == [8, 8, 8, 6]
    assert search.configs == tuple(config for batch in batches for config in batch)
    whole = sweep.choosing(search.configs)
    assert len(whole.places) == whole.num_configs == 30
    assert set(whole.axes["num_units1"]) <= {4, 8, 12}
    backend = optuna.storages.journal.JournalFileBackend(str(tmp_path / "study.journal"))
    storage = optuna.storages.JournalStorage(backend)
    study = optuna.load_study(study_name=sweep.name, storage=storage)
    scores = [score_of(config) for config in search.configs]
    best = max(score.accuracy for score in scores if not score.diverged)
    assert study.best_value == pytest.approx(best)
    assert [path.name for path in tmp_path.iterdir()] == ["study.journal"]  # no lock, no link
    # The same again, in the same place: what was told is all that it depends on.
    assert played(OptunaSearch(sweep, tmp_path / "study.journal")) == batches
    assert played(OptunaSearch(sweep_of(kind, seed=2))) != batches


def test_tpe_learns_from_what_it_is_told():
    configs = [config for batch in played(OptunaSearch(sweep_of("tpe"))) for config in batch]
    first, last = configs[:8], configs[-8:]
    mean = lambda group: sum(abs(math.log10(c["learning_rate"]) + 3) for c in group)  # noqa: E731
    assert mean(last) < mean(first)


def test_a_config_is_not_trained_twice_and_a_space_can_be_exhausted():
    axes = {"num_units1": [4, 8], "activation": ["relu"], "optimizer": ["adam", "sgd"]}
    search = OptunaSearch(sweep_of("tpe", axes=axes, batch=3))
    seen = []
    while proposal := search.ask():
        seen += proposal.configs
        search.tell({config.id: Score(0.5, 1.0) for config in proposal.configs})
    assert len(set(seen)) == len(seen) == 4


def test_without_optuna_it_is_said_how_to_get_it(monkeypatch):
    real = builtins.__import__

    def without(name, *more):
        if name == "optuna":
            raise ImportError(name)
        return real(name, *more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=r"pip install -e '\.\[search\]'"):
        OptunaSearch(sweep_of("tpe"))
