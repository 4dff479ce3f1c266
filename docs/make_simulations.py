"""Writes the tables of docs/statistics.md: how often intervals and tests err. Takes minutes.

    python docs/make_simulations.py [NAME...]

Names, as in ``EXPERIMENTS``, run these alone and keep the other rows; ``few`` alone is the table of
calibrations.

The experiments are those of tests/simulations.py, with more replications than the tests have.
"""

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from pages import fill

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from claim_simulations import CLAIM_EXPERIMENTS  # noqa: E402
from simulations import (  # noqa: E402
    EXPERIMENTS,
    calibration_of_few,
    error_rate,
    winner_bias,
)

MORE, MOST = 40, 10_000  # replications as a multiple of the tests', and at most
WINNERS = 200
CALIBRATIONS = 500
PAGE = ROOT / "docs" / "statistics.md"


def rates(page: str, names: Sequence[str]) -> str:
    """Returns a table of error rates; rows of experiments that are not named are the page's."""
    old = dict(re.findall(r"^(\| [^|]+ \| [^|]+ \|)(.*)$", page, re.MULTILINE))
    lines = [
        "| what | with | promised | errs | replications |",
        "| --- | --- | ---: | ---: | ---: |",
    ]
    for name, each in (EXPERIMENTS | CLAIM_EXPERIMENTS).items():
        start = f"| {each.what} | {each.null} |"
        if names and name not in names and start in old:
            lines.append(start + old[start])
            continue
        print(each.what, file=sys.stderr)
        replications = min(MORE * each.quick, MOST)
        rate, error = error_rate(each, replications)
        promise = "–" if each.nominal is None else f"{100 * each.nominal:.0f} %"
        errs = f"{100 * rate:.1f} ± {100 * error:.1f} %"
        lines.append(f"{start} {promise} | {errs} | {replications:,} |")
    return "\n".join(lines)


def above(page: str) -> str:
    """Returns a sentence on the rows of the page that err more often than promised."""
    row = r"^\| ([^|]+) \| ([^|]+) \| (\d+) % \| ([\d.]+) ± ([\d.]+) % \|"
    rows = [(f"{what} ({null})", *map(float, numbers)) for what, null, *numbers in
            re.findall(row, page, re.MULTILINE)]  # fmt: skip
    over = [each for each in rows if each[2] > each[1]]
    beyond = [what for what, promise, rate, error in over if rate - promise > 2 * error]
    names = f": {'; '.join(beyond)}" if beyond else ""
    return (
        f"±: the Monte Carlo standard error. Of {len(rows)} promises {len(over)} were exceeded, "
        f"{len(beyond)} of them by more than two such errors{names}."
    )


def biases() -> str:
    """Returns a table of a winner's bias."""
    lines = [
        "| deviation of 60 configs, points | as chosen | corrected |",
        "| ---: | ---: | ---: |",
    ]
    for deviation in (0.0, 0.01, 0.02, 0.04):
        print("bias of a winner", file=sys.stderr)
        apparent, held_out = (f"{100 * bias:+.1f}" for bias in winner_bias(deviation, WINNERS))
        lines.append(f"| {100 * deviation:.0f} | {apparent} | {held_out} |".replace("-", "−"))
    return "\n".join([lines[0], "| ---: | ---: | ---: |", *lines[2:]])


def few_songs() -> str:
    """Returns a table of what few songs make of a temperature and of the calibration error."""
    lines = [
        "| songs | temperature, as a share | below 0.8 of the true one | error of chance, points |",
        "| ---: | ---: | ---: | ---: |",
    ]
    for songs in (6, 10, 20, 50, 100, 200, 500):
        print("calibration of few songs", file=sys.stderr)
        few = calibration_of_few(songs, CALIBRATIONS)
        lines.append(
            f"| {songs} | {few.low:.2f} to {few.high:.2f} | {100 * few.below:.1f} % | "
            f"{100 * few.mean:.1f}, up to {100 * few.most:.1f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Replaces what stands between the markers of the page."""
    names = sys.argv[1:]
    if names != ["few"]:
        fill(PAGE, "rates", rates(PAGE.read_text(encoding="utf-8"), names))
        fill(PAGE, "above", above(PAGE.read_text(encoding="utf-8")))
    if not names:
        fill(PAGE, "biases", biases())
    if not names or names == ["few"]:
        fill(PAGE, "few", few_songs())


if __name__ == "__main__":
    main()
