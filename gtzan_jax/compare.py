"""Puts run directories side by side.

  python -m gtzan_jax.compare RUN_A RUN_B
  python -m gtzan_jax.compare RUN_A RUN_B RUN_C --output=configs.csv

Configs are matched by the axes that all runs have, so that sweeps whose grids
only overlap can be compared as well; of runs that share no config the bests and
the axes are. Every run is held against the first.
"""

from collections.abc import Sequence

from absl import flags

from gtzan_jax import cli
from gtzan_jax.text import printable


def main(paths: Sequence[str]) -> int:
    """Prints the comparison of the run directories."""
    from gtzan_jax.jobs.comparing import compare_runs, markdown

    output = flags.FLAGS.output
    print(markdown(compare_runs(paths, output)), end="")
    if output:
        print("\n" + printable(f"every configuration in {output}"))
    return 0


def define_flags() -> None:
    """Defines the flags of this command."""
    flags.DEFINE_string("output", None, "A CSV file to write all matched configs to.")


if __name__ == "__main__":
    define_flags()
    cli.run_on(main, "RUN_A RUN_B …", at_least=2)
