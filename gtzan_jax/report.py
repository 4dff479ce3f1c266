"""Writes an HTML report on a finished sweep.

  python -m gtzan_jax.report RUNDIR
  python -m gtzan_jax.report RUNDIR MORE --data=my/features.csv

RUNDIR/report.html is a single file without external resources. The same claims
are checked on MORE run directories, such as one with the loss softmax_twice.
"""

from gtzan_jax import cli
from gtzan_jax.jobs.options import ReportOptions


def main(options: ReportOptions) -> None:
    """Writes the report on the first run directory."""
    from gtzan_jax.jobs.reporting import write_report
    from gtzan_jax.rundir.finished import read_finished

    runs = [read_finished(path) for path in (options.run, *options.others)]
    write_report(runs, options.data, options.baselines, options.output)


if __name__ == "__main__":
    cli.run(main, ReportOptions)
