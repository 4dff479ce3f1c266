"""Compares finished sweeps.

  python -m gtzan_jax.compare RUN_A RUN_B
  python -m gtzan_jax.compare RUN_A RUN_B RUN_C --output=configs.csv

Configs are matched by the hyperparameters that all runs have, so grids that
only overlap can be compared, too. For runs without a common config the best
configs and the hyperparameters are compared. Each run is compared with the
first.
"""

from gtzan_jax import cli
from gtzan_jax.jobs.options import CompareOptions
from gtzan_jax.text import printable


def main(options: CompareOptions) -> None:
    """Prints the comparison of the run directories."""
    from gtzan_jax.jobs.comparing import compare_runs, markdown

    print(markdown(compare_runs([options.run, *options.others], options.output)), end="")
    if options.output:
        print("\n" + printable(f"all matched configs: {options.output}"))


if __name__ == "__main__":
    cli.run(main, CompareOptions)
