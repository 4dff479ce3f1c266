"""Writes the tables of docs/statistics.md: how often intervals and tests err. Takes minutes.

    python docs/make_simulations.py [NAME...]

Names, as in ``EXPERIMENTS``, run these alone and keep the other rows.

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
from simulations import EXPERIMENTS, error_rate, winner_bias  # noqa: E402

MORE, MOST = 40, 10_000  # replications as a multiple of the tests', and at most
WINNERS = 200
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
        rate = error_rate(each, replications)
        promise = "–" if each.nominal is None else f"{100 * each.nominal:.0f} %"
        lines.append(f"{start} {promise} | {100 * rate:.1f} % | {replications:,} |")
    return "\n".join(lines)


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


def main() -> None:
    """Replaces what stands between the markers of the page."""
    names = sys.argv[1:]
    fill(PAGE, "rates", rates(PAGE.read_text(encoding="utf-8"), names))
    if not names:
        fill(PAGE, "biases", biases())


if __name__ == "__main__":
    main()
