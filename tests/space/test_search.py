import itertools
import math

import numpy as np
import pytest
from conftest import make_sweep

from gtzan_jax.errors import InputError
from gtzan_jax.space.search import Grid, Halving, Score, config_epochs
from gtzan_jax.space.sweep_file import parse_sweep


def halving_sweep(count, epochs, **search):
    """Returns a sweep by halving of so many configs, drawn where the search says how many."""
    axes = {"num_units1": list(range(1, count + 1)), "optimizer": ["adam"]}
    axes |= {"activation": ["relu"]}
    return make_sweep(
        axes=axes, epochs=epochs, protocol="holdout", search={"kind": "halving", **search}
    )


def figures_of(sweep, seed=0):
    """Returns made-up figures (configs, epochs), accuracy and loss; some equal, some diverged."""
    random = np.random.default_rng(seed)
    accuracy = random.integers(0, 8, (sweep.num_configs, sweep.epochs)) / 8
    loss = random.integers(1, 4, accuracy.shape).astype(float)
    loss[random.random(accuracy.shape) < 0.1] = np.nan
    return accuracy, loss


def played(sweep, accuracy, loss):
    """Returns what halving proposes where the figures are these."""
    search, proposals = Halving(sweep), []
    while proposal := search.ask():
        assert search.ask() is proposal
        proposals.append(proposal)
        at = [(config.id, (sweep.places[config.id], proposal.epochs - 1)) for config in
              proposal.configs]  # fmt: skip
        search.tell({name: Score(accuracy[i], loss[i]) for name, i in at})
    return proposals


def test_a_grid_proposes_everything_once():
    sweep = make_sweep(epochs=3)
    grid = Grid(sweep)
    proposal = grid.ask()
    assert proposal.configs == sweep.configs
    assert (proposal.first_epoch, proposal.epochs) == (0, 3)
    grid.tell({config.id: Score(0.5, 1.0) for config in sweep.configs})
    assert grid.ask() is None
    assert config_epochs(sweep) == 36


def slow_halving(order, ends, eta, accuracy, loss):
    """Halves by counting, for each config, those that are better: (places, begin, end) by rung."""

    def better(a, b, epoch):
        """Whether config a is better than b at an epoch; a is the earlier one if equal."""
        if math.isnan(loss[b, epoch]) or math.isnan(loss[a, epoch]):
            return not math.isnan(loss[a, epoch])
        return (accuracy[a, epoch], -loss[a, epoch]) > (accuracy[b, epoch], -loss[b, epoch])

    alive, rungs = list(order), []
    for begin, end in zip([0, *ends], ends, strict=False):
        rungs.append((set(alive), begin, end))
        keep = max(1, len(alive) // eta)
        before = {
            a: sum(better(b, a, end - 1) or (not better(a, b, end - 1) and i < j)
                   for i, b in enumerate(alive) if b != a)
            for j, a in enumerate(alive)
        }  # fmt: skip
        alive = sorted((a for a in alive if before[a] < keep), key=before.get)
    return rungs


@pytest.mark.parametrize(
    ("count", "epochs", "eta", "first_epochs", "ends"),
    [
        (27, 9, 3, 1, [1, 3, 9]),
        (40, 10, 3, 1, [1, 3, 10]),
        (33, 12, 2, 2, [2, 4, 12]),
        (5, 20, 4, 1, [1, 4, 20]),
        (2, 8, 2, 1, [1, 2, 4, 8]),
    ],
)
def test_halving_is_what_the_slow_way_does(count, epochs, eta, first_epochs, ends):
    sweep = halving_sweep(count, epochs, eta=eta, first_epochs=first_epochs)
    assert list(sweep.search.rungs(epochs)) == ends
    accuracy, loss = figures_of(sweep)
    proposals = played(sweep, accuracy, loss)
    got = [({sweep.places[c.id] for c in p.configs}, p.first_epoch, p.epochs) for p in proposals]
    assert got == slow_halving(range(count), ends, eta, accuracy, loss)
    assert config_epochs(sweep) == sum(len(alive) * (end - begin) for alive, begin, end in got)


def test_brackets_begin_a_rung_later_and_cost_about_the_same():
    sweep = halving_sweep(200, 27, num_configs=150, brackets=3)
    accuracy, loss = figures_of(sweep)
    proposals = played(sweep, accuracy, loss)
    starts = [place for place, proposal in enumerate(proposals) if proposal.first_epoch == 0]
    brackets = [proposals[a:b] for a, b in itertools.pairwise([*starts, None])]
    assert [[p.epochs for p in bracket] for bracket in brackets] == [
        [1, 3, 9, 27], [3, 9, 27], [9, 27],
    ]  # fmt: skip
    configs = [config.id for bracket in brackets for config in bracket[0].configs]
    assert configs == [config.id for config in sweep.configs]
    costs = [sum(proposal.config_epochs for proposal in bracket) for bracket in brackets]
    assert max(costs) < 1.3 * min(costs)
    for bracket, ends in zip(brackets, ([1, 3, 9, 27], [3, 9, 27], [9, 27]), strict=True):
        order = [sweep.places[config.id] for config in bracket[0].configs]
        got = [({sweep.places[c.id] for c in p.configs}, p.first_epoch, p.epochs) for p in bracket]
        assert got == slow_halving(order, ends, 3, accuracy, loss)


def test_brackets_have_configs_by_their_cost():
    """Of 9 epochs and η = 3 a config costs 7/3, 5 and 9 epochs, so that 58, 27 and 15 of 100."""
    search = Halving(halving_sweep(200, 9, num_configs=100, brackets=3))
    sizes = []
    while proposal := search.ask():
        if proposal.first_epoch == 0:
            sizes.append(len(proposal.configs))
        search.tell({config.id: Score(0.0, 0.0) for config in proposal.configs})
    assert sizes == [58, 27, 15]


def test_halving_over_a_grid_takes_all_of_it_and_shuffles_it_for_brackets():
    whole = halving_sweep(9, 9)
    assert [config["num_units1"] for config in whole.configs] == list(range(1, 10))
    shuffled = halving_sweep(9, 9, brackets=2)
    assert set(shuffled.configs) == set(whole.configs)
    assert shuffled.configs != whole.configs


ON_TEST = {"protocol": "assignment"}
RANGE = {"axes": {"dropout1": {"low": 0.0, "high": 0.5}}, "protocol": "holdout"}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"search": 3}, r"'search' must be a table"),
        ({"search": {"kind": "rnadom"}}, r"unknown value 'rnadom' \(did you mean 'random'\?\)"),
        ({"search": {"kind": "random", "num_configs": 0}}, "num_configs must be a whole number"),
        ({"search": {"kind": "random", "num_configs": 13}}, "have only 12 different configs"),
        ({"search": {"kind": "random", "num_cofnigs": 5}}, "did you mean 'num_configs'"),
        ({"search": {"kind": "random", "num_configs": 5, "eta": 3}}, "eta does not apply to the"),
        ({"search": {"kind": "grid", "num_configs": 5}}, "num_configs does not apply to the"),
        (ON_TEST | {"search": {"kind": "halving", "eta": 2}}, "assignment has none"),
        (ON_TEST | {"search": {"kind": "tpe"}}, "--set=protocol=holdout has one"),
        ({"search": {"kind": "halving", "first_epochs": 2}}, "leave no rung before epoch 2"),
        ({"search": {"kind": "halving", "eta": 3}}, "leave no rung before epoch 2"),
        ({"search": {"kind": "halving", "eta": 2, "brackets": 3}}, "at most the 2 rungs"),
        (RANGE, "axes.dropout1 is a range, but a grid needs a list of values"),
    ],
)  # fmt: skip
def test_a_search_that_cannot_be_is_refused(changes, problem):
    with pytest.raises(InputError, match=problem) as caught:
        make_sweep(**changes)
    assert str(caught.value).startswith("test")
    assert "\n" not in str(caught.value)


UNITS, LONG = {"num_units1": list(range(1, 129))}, {"num_units1": list(range(1, 2001))}


@pytest.mark.parametrize(
    ("kind", "axes", "expected"),
    [
        ("random", {}, 12),  # all of a small grid
        ("random", {"num_units1": [4, 5, 6, 7, 8]}, 20),  # of 30
        ("random", UNITS, 192),  # a quarter of 768
        ("tpe", UNITS, 192),
        ("cma", UNITS, 192),
        ("qmc", UNITS, 192),
        ("random", LONG, 1000),  # of 12,000
        ("halving", UNITS, 768),
        ("random", RANGE["axes"], 100),
        ("halving", RANGE["axes"], 100),
        ("one_at_a_time", UNITS, 131),
    ],
)
def test_a_search_has_sensible_numbers_by_itself(kind, axes, expected):
    sweep = make_sweep(axes=axes, search={"kind": kind})
    assert sweep.num_configs == expected
    assert sweep.protocol == ("holdout" if sweep.search.is_told else "assignment")
    description = sweep.to_dict()
    again = parse_sweep(description, description.pop("name"), "test")
    assert again.to_dict() == sweep.to_dict()


@pytest.mark.parametrize(("epochs", "ends"), [(2, (1, 2)), (3, (1, 3)), (10, (1, 3, 10))])
def test_halving_has_rungs_by_itself(epochs, ends):
    assert make_sweep(epochs=epochs, search={"kind": "halving"}).search.rungs(epochs) == ends


def test_a_sweep_without_a_search_has_the_manifest_that_it_had():
    assert "search" not in make_sweep().to_dict()
    assert make_sweep(search={"kind": "grid"}).to_dict() == make_sweep().to_dict()


def test_one_axis_at_a_time_leaves_the_first_values():
    sweep = make_sweep(search={"kind": "one_at_a_time"})
    plain, *others = sweep.configs
    assert dict(plain) == {name: values[0] for name, values in sweep.axes.items()}
    changed = [{n: v for n, v in config.items() if v != plain[n]} for config in others]
    assert changed == [
        {"num_units1": 12}, {"activation": "leaky_relu"}, {"optimizer": "sgd"},
        {"optimizer": "rmsprop"},
    ]  # fmt: skip
    description = sweep.to_dict()
    again = parse_sweep(description, description.pop("name"), "test")
    assert again.configs == sweep.configs
