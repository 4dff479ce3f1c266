"""Computes the feature table of a folder of songs.

  python -m gtzan_jax.extract FOLDER --features=musicnn
  python -m gtzan_jax.extract FOLDER --output=segments.csv --segment_seconds=3

The songs (WAV, MP3, FLAC, Ogg, AIFF, …) lie in a folder for each genre, such as
FOLDER/rock, or are called as GTZAN's are, rock.00000.wav. The table has the
columns of GTZAN's, or those of a pretrained network (--features=musicnn), and
--data takes it. Finished songs are kept in OUTPUT.part until all are: the same
command resumes. Exits with 1 if any file failed.

pip install -e '.[audio]' brings what reads sound.
"""

from gtzan_jax import cli, console
from gtzan_jax.jobs.options import ExtractOptions


def main(options: ExtractOptions) -> int:
    """Computes the table that the flags describe; returns 1 where a file was no use."""
    from gtzan_jax.jobs.extracting import extract

    done = extract(
        options.folder,
        options.output,
        features=options.features,
        weights=options.weights,
        segment_seconds=int(options.segment_seconds) if options.segment_seconds else None,
        workers=options.workers,
        overwrite=options.overwrite,
        command=options.command,
    )
    return console.FAILURE if done.failures else 0


if __name__ == "__main__":
    cli.run(main, ExtractOptions)
