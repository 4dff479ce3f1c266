"""Trains every config of a sweep, ranks them, retrains the best: the main job.

  python -m gtzan_jax.sweep
  python -m gtzan_jax.sweep --sweep=my/sweep.toml --optimizer=adam,sgd

Everything is written into one folder, the run directory.

Every axis of a sweep is a flag, too, with commas between its values:
--optimizer=adam,sgd means --set=axes.optimizer=["adam","sgd"]. The axes are

  num_units1 to num_units6, or num_units for all hidden layers; dropout1 to
  dropout6, or dropout for all; activation, initializer, optimizer,
  learning_rate, batch_size, momentum, nesterov, weight_decay, l2, max_norm,
  weight_limit, input_noise, label_smoothing, mixup, patience; and of networks
  on spectrograms filters, blocks, kernel, dropout, frequency_mask, time_mask,
  time_shift.
"""

import sys

from absl import flags

from gtzan_jax import cli
from gtzan_jax.metrics import LOSSES
from gtzan_jax.space.overrides import SHORT_NAMES
from gtzan_jax.space.settings import KINDS
from gtzan_jax.text import command_line
from gtzan_jax.trainer.planner import MODES

# Flags that the command to resume with must not repeat.
_PLACE = ("overwrite", "nooverwrite", "workdir")


def main() -> int:
    """Runs the sweep that the flags describe, or resumes it."""
    from gtzan_jax.jobs.sweeping import run_sweep

    given = flags.FLAGS
    axes = [f"{name}={given[name].value}" for name in SHORT_NAMES if given[name].present]
    run_sweep(
        given.sweep,
        given.data,
        given.workdir,
        epochs=given.epochs,
        loss=given.loss,
        protocol=given.protocol,
        num_folds=given.num_folds,
        search=given.search,
        overrides=[*given.set, *axes],
        overwrite=given.overwrite,
        platform=given.platform,
        workers=given.workers,
        scheduler=given.scheduler,
        matmul_precision=given.matmul_precision,
        batching=given.batching,
        seed=given.seed,
        num_seeds=given.num_seeds,
        split_seed=given.split_seed,
        retrain_epochs=given.retrain_epochs,
        retrain_seeds=given.retrain_seeds,
        profile=given.profile,
        command=command_line("sweep", sys.argv[1:]),
        resume=command_line("sweep", _without_place(sys.argv[1:])),
    )
    return 0


def _without_place(arguments: list[str]) -> list[str]:
    """Leaves out the flags that say where to write, however they are spelt."""
    kept, skip = [], False
    for argument in arguments:
        name, equals, _ = argument.lstrip("-").partition("=")
        if not skip and not (argument.startswith("-") and name in _PLACE):
            kept.append(argument)
        skip = argument.startswith("-") and name == "workdir" and not equals
    return kept


def define_flags() -> None:
    """Defines the flags of this command."""
    cli.define_data_flag()
    cli.define_platform_flag()
    cli.define_workers_flags()
    cli.define_precision_flag()
    flags.DEFINE_string("sweep", "assignment", "A name in sweeps/, or the path of a TOML file.")
    flags.DEFINE_multi_string(
        "set", [], "key=value over the sweep file, as --set=epochs=20 or "
        "--set=axes.dropout1=[0.0,0.5]; repeatable.",
    )  # fmt: skip
    flags.DEFINE_integer(
        "epochs", None, "Passes over the train part. Default: what the sweep says, or 10.",
        lower_bound=1, upper_bound=100_000,
    )  # fmt: skip
    flags.DEFINE_enum(
        "loss", None, LOSSES, "The loss. Default: what the sweep says, or cross_entropy."
    )
    for name in SHORT_NAMES:  # by another module, so that they take no lines in --help
        flags.DEFINE_string(
            name, None, f"Values of axes.{name}.", module_name="gtzan_jax.space.overrides"
        )
    flags.DEFINE_enum(
        "search", None, KINDS, "How configs are chosen: all of a grid, random draws, successive "
        "halving, or Optuna's samplers, which pip install -e '.[search]' brings. "
        "They try a quarter of the grid, halving all of it; --set=search.num_configs=50 and the "
        "like say otherwise. Default: what the sweep says, or grid.",
    )  # fmt: skip
    cli.define_protocol_flags(
        "what the sweep says, or assignment, or holdout where the search needs a validation part"
    )
    flags.DEFINE_integer(
        "split_seed", 0, "Seed of the division into parts.", lower_bound=0, upper_bound=2**32 - 1
    )
    flags.DEFINE_string(
        "workdir", None, "Run directory; an unfinished run there is resumed. Default: "
        "runs/<sweep>-<UTC time>.",
    )  # fmt: skip
    flags.DEFINE_boolean("overwrite", False, "Remove the run that is in --workdir.")
    flags.DEFINE_enum(
        "batching", "auto", MODES, "Which networks share a compiled program: those of "
        "the same shape, all (padded with zeros), or as many as seems fastest.",
    )  # fmt: skip
    flags.DEFINE_string(
        "profile", None, "A folder for the JAX profiler's trace of the training, for TensorBoard "
        "or Perfetto.",
    )  # fmt: skip
    flags.DEFINE_integer(
        "seed", 0, "First seed of the training: initial weights, order, noise.",
        lower_bound=0, upper_bound=2**31,
    )  # fmt: skip
    flags.DEFINE_integer(
        "num_seeds", None, "Replicates of each config. Default: what the sweep says, or 1.",
        lower_bound=1, upper_bound=100_000,
    )  # fmt: skip
    flags.DEFINE_integer(
        "retrain_epochs", 50, "Epochs of the best config's retraining; 0 skips it.",
        lower_bound=0, upper_bound=100_000,
    )  # fmt: skip
    cli.define_retrain_seeds_flag()


if __name__ == "__main__":
    define_flags()
    cli.run(main)
