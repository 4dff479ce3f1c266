"""A search by Optuna's samplers, with ask and tell in batches."""

import itertools
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gtzan_jax.errors import InputError
from gtzan_jax.space.config import Config
from gtzan_jax.space.hyperparameters import HYPERPARAMETERS
from gtzan_jax.space.ranges import Choices, Range
from gtzan_jax.space.search import Proposal, Score
from gtzan_jax.space.sweep import Sweep

if TYPE_CHECKING:
    from optuna import Trial

_PATIENCE = 20  # proposals for each config of a batch


class OptunaSearch:
    """Asks one of Optuna's samplers for batches of configs, each trained for all epochs.

    A pure function of the sweep and the scores, for one version of Optuna. A sampler proposes the
    configs of a batch without scores of the others; TPE counts those as bad, so that the configs of
    a batch differ (a "constant liar"). A config proposed again is neither trained nor counted
    again. Diverged trainings are failed trials of the study. The study is in memory, or in the file
    ``journal``, for ``optuna.load_study`` and ``optuna-dashboard``.
    """

    def __init__(self, sweep: Sweep, journal: Path | None = None) -> None:
        optuna = import_optuna(sweep.search.kind)
        self._sweep = sweep
        choices = _choices(sweep)
        self._constant = {n: c[0] for n, c in choices.items() if isinstance(c, tuple)}
        self._distributions = {
            name: _distribution(choice)
            for name, choice in choices.items()
            if isinstance(choice, Range) or len(choice) > 1
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about experimental features
            self._study = optuna.create_study(
                storage=None if journal is None else _storage(journal),
                sampler=_sampler(sweep),
                direction="maximize",
                study_name=sweep.name,
            )
        self._told: dict[Config, Score] = {}
        self._asked: dict[Config, list[Trial]] = {}

    @property
    def configs(self) -> tuple[Config, ...]:
        """All configs with a score, in the order of their proposals."""
        return tuple(self._told)

    def ask(self) -> Proposal | None:
        """Returns the next batch; None after the last, or if the sampler finds no new config."""
        if not self._asked:
            search = self._sweep.search
            wanted = min(search.batch, (search.num_configs or 0) - len(self._told))
            for _ in range(_PATIENCE * wanted):
                self._propose()
                if len(self._asked) == wanted:
                    break
        return Proposal(tuple(self._asked), 0, self._sweep.epochs) if self._asked else None

    def tell(self, scores: Mapping[str, Score]) -> None:
        """Records the scores of the batch, by config id."""
        for config, trials in self._asked.items():
            self._told[config] = scores[config.id]
            for trial in trials:
                self._tell(trial, scores[config.id])
        self._asked = {}

    def _propose(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trial = self._study.ask(self._distributions)
        ranges = self._sweep.ranges
        found = {n: ranges[n].nearest(v) if n in ranges else v for n, v in trial.params.items()}
        config = Config.of(**(self._constant | found))
        trial.set_user_attr("config", config.name)
        if config in self._told:
            self._tell(trial, self._told[config])
        else:
            self._asked.setdefault(config, []).append(trial)

    def _tell(self, trial: "Trial", score: Score) -> None:
        from optuna.trial import TrialState

        if score.diverged:
            self._study.tell(trial, state=TrialState.FAIL)
        else:
            self._study.tell(trial, score.accuracy)


def widest_configs(sweep: Sweep) -> list[Config]:
    """Returns configs whose programs fit every config that a search may propose.

    These are the widest configs, one for each combination of static values.
    """
    values: dict[str, tuple[Any, ...]] = {}
    for name, choice in sweep.axes.items():
        bounds = (sweep.ranges[name].low, sweep.ranges[name].high) if name in sweep.ranges else ()
        kind, found = HYPERPARAMETERS[name].kind, choice or bounds
        values[name] = {"shape": (max(found),), "static": found}.get(kind, found[:1])
    return [Config(tuple(values), each) for each in itertools.product(*values.values())]


def import_optuna(kind: str = "") -> Any:
    """Returns the module ``optuna``, for a kind of search, or for a study of another search."""
    what = f"the search '{kind}'" if kind else "a study"
    try:
        import optuna

        if kind:
            import cmaes  # noqa: F401 — Optuna would fail only when it draws
    except ImportError:
        raise InputError(f"{what} needs Optuna: pip install -e '.[search]'") from None
    if kind:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def distributions_of(sweep: Sweep) -> dict[str, Any]:
    """Returns Optuna's distribution of each varying hyperparameter, categorical for a list.

    Ranges have no steps: Optuna rejects rounded multiples, as in configs.
    """
    return {
        name: _distribution(replace(choice, step=None) if isinstance(choice, Range) else choice)
        for name, choice in _choices(sweep).items()
        if name in sweep.varying
    }


def _choices(sweep: Sweep) -> Choices:
    return {name: sweep.ranges.get(name, values) for name, values in sweep.axes.items()}


def _distribution(choice: tuple[Any, ...] | Range) -> Any:
    from optuna import distributions

    if not isinstance(choice, Range):
        return distributions.CategoricalDistribution(choice)
    low, high, step = choice.low, choice.high, choice.step
    if isinstance(low, int):
        return distributions.IntDistribution(low, int(high), log=choice.log, step=int(step or 1))
    return distributions.FloatDistribution(low, high, log=choice.log, step=step)


def _sampler(sweep: Sweep) -> Any:
    from optuna import samplers

    seed = sweep.search.seed
    if sweep.search.kind == "tpe":
        return samplers.TPESampler(seed=seed, constant_liar=True)
    others = samplers.RandomSampler(seed=seed)  # for names, which the sampler cannot draw
    if sweep.search.kind == "cma":
        return samplers.CmaEsSampler(
            seed=seed, independent_sampler=others, warn_independent_sampling=False
        )
    return samplers.QMCSampler(
        seed=seed, scramble=True, independent_sampler=others,
        warn_asynchronous_seeding=False, warn_independent_sampling=False,
    )  # fmt: skip


def _storage(journal: Path) -> Any:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    # Optuna would wait for the lock of a killed process.
    for path in (journal, journal.with_name(journal.name + ".lock")):
        path.unlink(missing_ok=True)
    # Optuna's default lock is a symbolic link, which a run directory may not contain.
    return JournalStorage(JournalFileBackend(str(journal), JournalFileOpenLock(str(journal))))
