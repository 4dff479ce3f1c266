from conftest import make_sweep

from gtzan_jax.space.search import Grid


def test_a_grid_proposes_everything_once():
    sweep = make_sweep(epochs=3)
    grid = Grid(sweep)
    proposal = grid.ask()
    assert proposal.configs == sweep.configs
    assert (proposal.first_epoch, proposal.epochs) == (0, 3)
    grid.tell({config.id: 0.5 for config in sweep.configs})
    assert grid.ask() is None
