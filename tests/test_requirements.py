"""What pyproject.toml asks for: .ci/run tests the lowest versions of it, and those of Colab."""

import tomllib

import pytest
from conftest import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NEEDED = {
    canonicalize_name(requirement.name): requirement.specifier
    for requirement in map(
        Requirement,
        PROJECT["dependencies"]
        + PROJECT["optional-dependencies"]["audio"]
        + PROJECT["optional-dependencies"]["demo"],
    )
}
COLAB = {
    requirement.name: str(requirement.specifier).removeprefix("==")
    for requirement in map(
        Requirement,
        (
            line
            for line in (ROOT / "tests/environments/colab-2026-08.txt").read_text().splitlines()
            if not line.startswith("#")
        ),
    )
}


@pytest.mark.parametrize("package", sorted(NEEDED.keys() & COLAB))
def test_colab_keeps_what_it_comes_with(package):
    """Another JAX beside the plugin for Colab's costs the GPU or the TPU."""
    assert COLAB[package] in NEEDED[package]


def test_a_jax_that_computes_wrong_is_not_installed():
    assert NEEDED["jax"] == NEEDED["jaxlib"]
    assert "0.10.2" not in NEEDED["jax"]
