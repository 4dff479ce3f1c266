"""Writes a report on a finished sweep.

  python -m gtzan_jax.report RUNDIR
  python -m gtzan_jax.report RUNDIR MORE --data=my/features.csv

RUNDIR/report.html is one page that needs nothing else. MORE run directories,
such as one with the loss softmax_twice, are asked about the same claims.
"""

from collections.abc import Sequence

from absl import flags

from gtzan_jax import cli


def main(paths: Sequence[str]) -> int:
    """Writes the report on the first run directory."""
    from gtzan_jax.jobs.reporting import write_report
    from gtzan_jax.rundir.finished import read_finished

    given = flags.FLAGS
    runs = [read_finished(path) for path in paths]
    write_report(runs, given.data, given.baselines, given.output)
    return 0


def define_flags() -> None:
    """Defines the flags of this command."""
    flags.DEFINE_string(
        "data", None, "The feature table that the run was trained on, if it is neither in data/ "
        "nor in the cache; as for the sweep.",
    )  # fmt: skip
    flags.DEFINE_multi_string(
        "baselines", [], "A folder of gtzan_jax.baselines; repeatable. Default: every baselines-* "
        "beside the run directory that was made from the same feature table. Of several with one "
        "protocol the newest counts.",
    )  # fmt: skip
    flags.DEFINE_string("output", None, "Where to write. Default: RUNDIR/report.html.")


if __name__ == "__main__":
    define_flags()
    cli.run_on(main, "RUNDIR")
