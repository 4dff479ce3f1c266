"""Families of one's own."""

import sys
from pathlib import Path

import pytest

import gtzan_jax
from gtzan_jax.models.family import FAMILIES
from gtzan_jax.models.mlp import MlpFamily
from gtzan_jax.space import axes

PAGE = Path(__file__).parent.parent / "docs" / "own_model.md"


@pytest.fixture
def registries():
    """Takes back, after a test, what it registers."""
    found = (FAMILIES, axes.FAMILIES, axes.AXES)
    before = [dict(registry) for registry in found]
    yield
    for registry, content in zip(found, before, strict=True):
        registry.clear()
        registry.update(content)
    sys.modules.pop("residual", None)


@pytest.mark.usefixtures("registries")
@pytest.mark.parametrize(("name", "axis"), [("mlp", "width"), ("new", "num_units1"), ("new", "l2")])
def test_a_name_that_is_taken_is_refused(name, axis):
    with pytest.raises(ValueError, match="taken already"):
        gtzan_jax.register_family(MlpFamily(name), [axes.Axis(axis, int)])
    assert FAMILIES.keys() == {"mlp", "cnn"} == axes.FAMILIES.keys()
