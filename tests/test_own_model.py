"""The code of a model family in docs/own_table.md, as it stands there."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import this_process

import gtzan_jax
from gtzan_jax.jobs import sweeping
from gtzan_jax.models.family import FAMILIES, num_weights
from gtzan_jax.models.mlp import MlpFamily
from gtzan_jax.space import hyperparameters

PAGE = Path(__file__).parent.parent / "docs" / "own_table.md"


@pytest.fixture
def registries():
    """Takes back, after a test, what it registers."""
    found = (FAMILIES, hyperparameters.FAMILIES, hyperparameters.HYPERPARAMETERS)
    before = [dict(registry) for registry in found]
    yield
    for registry, content in zip(found, before, strict=True):
        registry.clear()
        registry.update(content)
    sys.modules.pop("residual", None)


@pytest.mark.slow
@pytest.mark.usefixtures("registries")
def test_the_page_on_an_own_model_runs(tmp_path, monkeypatch, capsys):
    _, _, section = PAGE.read_text(encoding="utf-8").partition("## Your own model")
    blocks = re.findall(r"```(\w+)\n(.*?)```", section, flags=re.DOTALL)
    (_, family), (kind, sweep), (_, script) = blocks
    assert kind == "toml"
    (tmp_path / "residual.py").write_text(family)
    (tmp_path / "residual.toml").write_text(sweep)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sweeping, "open_backend", this_process)
    exec(script, {})
    run, model = gtzan_jax.read_run("runs/residual"), gtzan_jax.load_model("runs/residual")
    assert (run.sweep.family, len(run.results)) == ("residual", 8)
    assert run.results["validation_accuracy"].is_monotonic_decreasing
    assert np.isfinite(run.history.filter(like="loss")).all(axis=None)
    assert model.num_weights == num_weights(run.config(1), 57, 10)
    last = run.retrained.iloc[-1]
    table = gtzan_jax.load_table("sample")
    test = gtzan_jax.make_splits(table, "holdout", 0, 1).folds[0].test
    right = model.predict(table)[test] == np.array(table.genres)[table.y[test]]
    assert right.mean() == pytest.approx(last["test_accuracy"])
    assert str(model) in capsys.readouterr().out


@pytest.mark.usefixtures("registries")
@pytest.mark.parametrize(("name", "axis"), [("mlp", "width"), ("new", "num_units1"), ("new", "l2")])
def test_a_name_that_is_taken_is_refused(name, axis):
    with pytest.raises(ValueError, match="already taken by another family"):
        gtzan_jax.register_family(MlpFamily(name), [hyperparameters.Hyperparameter(axis, int)])
    assert FAMILIES.keys() == {"mlp", "cnn"} == hyperparameters.FAMILIES.keys()
