"""Puts run directories side by side.

  python -m gtzan_jax.compare RUN_A RUN_B
  python -m gtzan_jax.compare RUN_A RUN_B RUN_C --output=configs.csv

Configs are matched by the axes that all runs have, so that sweeps whose grids
only overlap can be compared as well; of runs that share no config the bests and
the axes are. Every run is held against the first.
"""

from gtzan_jax import cli
from gtzan_jax.jobs.options import CompareOptions
from gtzan_jax.text import printable


def main(options: CompareOptions) -> None:
    """Prints the comparison of the run directories."""
    from gtzan_jax.jobs.comparing import compare_runs, markdown

    print(markdown(compare_runs([options.run, *options.others], options.output)), end="")
    if options.output:
        print("\n" + printable(f"every configuration in {options.output}"))


if __name__ == "__main__":
    cli.run(main, CompareOptions)
