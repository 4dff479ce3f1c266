"""Computes the feature table of a folder of songs.

  python -m gtzan_jax.extract FOLDER
  python -m gtzan_jax.extract FOLDER --output=chunks.csv --chunk_seconds=3

The songs (WAV, MP3, FLAC, Ogg, AIFF, …) lie in a folder for each genre, such as
FOLDER/rock, or are called as GTZAN's are, rock.00000.wav. The table has the
columns of GTZAN's, and --data takes it. What is done is kept in OUTPUT.part
until all is: the same command goes on. Exit code 1: some files were no use.

pip install -e '.[audio]' brings what reads sound.
"""

import sys
import time
from collections.abc import Sequence

from absl import flags

import gtzan_jax
from gtzan_jax import cli, console
from gtzan_jax.errors import InputError
from gtzan_jax.text import command_line


def main(paths: Sequence[str]) -> int:
    """Computes the table that the flags describe."""
    from gtzan_jax.jobs.extracting import extract

    if len(paths) > 1:
        raise InputError(f"one FOLDER at a time, not {paths[1]!r} besides")
    given = flags.FLAGS
    done = extract(
        paths[0],
        given.output,
        chunk_seconds=int(given.chunk_seconds) if given.chunk_seconds else None,
        workers=given.workers,
        overwrite=given.overwrite,
        command=command_line("extract", sys.argv[1:]),
    )
    print(f"{time.perf_counter() - gtzan_jax.STARTED:.1f} s")
    return console.FAILURE if done.failures else 0


def define_flags() -> None:
    """Defines the flags of this command."""
    flags.DEFINE_string("output", "features.csv", "The table to write.")
    flags.DEFINE_enum(
        "chunk_seconds", None, ["3"], "A row for each three seconds, as in Kaggle's "
        "features_3_sec.csv. Default: a row a song.",
    )  # fmt: skip
    flags.DEFINE_integer(
        "workers", None, "Processes. Default: one a core.", lower_bound=1, upper_bound=1000
    )
    flags.DEFINE_bool("overwrite", False, "Whether to replace a table that is there.")


if __name__ == "__main__":
    define_flags()
    cli.run_on(main, "FOLDER")
