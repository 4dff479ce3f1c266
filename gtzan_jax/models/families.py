"""Every kind of model by its name."""

from gtzan_jax.models.cnn import CnnFamily
from gtzan_jax.models.family import Family
from gtzan_jax.models.mlp import MlpFamily

FAMILIES: dict[str, Family] = {family.name: family for family in (MlpFamily(), CnnFamily())}
