"""Trains every config of a sweep, ranks them, and retrains the best: the main job.

  python -m gtzan_jax.sweep
  python -m gtzan_jax.sweep --sweep=my/sweep.toml --optimizer=adam,sgd

All results are written into one folder, the run directory.

Each hyperparameter is a flag, too, with commas between its values:
--optimizer=adam,sgd means --set=axes.optimizer=["adam","sgd"]. They are

  num_units1 to num_units6, or num_units for all hidden layers; dropout1 to
  dropout6, or dropout for all; activation, initializer, optimizer,
  learning_rate, batch_size, momentum, nesterov, weight_decay, l2, max_norm,
  weight_limit, input_noise, label_smoothing, mixup, patience; and, for networks
  on spectrograms: filters, blocks, kernel, dropout, frequency_mask, time_mask,
  time_shift.
"""

from gtzan_jax import cli
from gtzan_jax.jobs.options import SweepOptions


def main(options: SweepOptions) -> None:
    """Runs or resumes the sweep that the flags describe."""
    from gtzan_jax.jobs.sweeping import run_sweep

    run_sweep(**vars(options))


if __name__ == "__main__":
    cli.run(main, SweepOptions)
