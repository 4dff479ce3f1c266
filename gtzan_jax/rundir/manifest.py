"""The manifest of a run directory: schema, reading and writing.

It may come from anyone, so reading checks types, bounds, the format number and a SHA-256.
"""

import json
import reprlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from gtzan_jax.errors import InputError
from gtzan_jax.files import is_sealed, sealed
from gtzan_jax.space.sweep import Sweep
from gtzan_jax.space.sweep_file import parse_sweep
from gtzan_jax.tables.schema import NO_OPTIONS, SAMPLES, Columns, Words, rows_note
from gtzan_jax.text import printable
from gtzan_jax.trainer.platforms import MatmulPrecision

FORMAT = 9
"""Other formats are rejected. The first had no number."""

Count = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]
Positive = Annotated[int, msgspec.Meta(ge=1, lt=2**53)]
Seed = Annotated[int, msgspec.Meta(ge=0, lt=2**32)]
Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
ConfigId = Annotated[str, msgspec.Meta(pattern=r"^c[0-9a-f]{11}\Z")]

FOLDER_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z"
"""Name of a folder in ``retrained/``, which cannot lead out of it."""

FolderName = Annotated[str, msgspec.Meta(pattern=FOLDER_NAME)]


class Data(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """The feature table that a run was trained on."""

    flag: str  # value of --data
    source: str  # one of SAMPLES, "kaggle", "kaggle3", or the path that was read
    sha256: Sha256
    tracks: Positive  # rows
    songs: Positive  # fewer than rows if these are segments
    features: Positive
    genres: Annotated[list[str], msgspec.Meta(min_length=2)]
    repeats: list[list[str]]  # groups of tracks with exactly equal features
    columns: Columns = NO_OPTIONS
    is_of_songs: bool = True
    pretrained: Literal["", "musicnn"] = ""  # the network that computed the features

    @property
    def words(self) -> Words:
        """The names of rows and classes."""
        return self.columns.words(self.is_of_songs)

    @property
    def is_sample(self) -> bool:
        """True if this is a synthetic sample."""
        return self.source in SAMPLES

    @property
    def is_segmented(self) -> bool:
        """True if rows are segments of songs."""
        return self.songs < self.tracks

    @property
    def unit(self) -> str:
        """The plural noun for rows."""
        return "segments" if self.is_segmented else self.words.rows

    @property
    def rows_note(self) -> str:
        """The kind and number of rows, as text."""
        return rows_note(self.tracks, self.songs, words=self.words)

    @property
    def name(self) -> str:
        """The name of the file without its folders."""
        return Path(self.source).name


class Parts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The number of rows in each part of a fold."""

    train: Positive
    validation: Count
    test: Positive


class Split(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """The split of the songs; the name of the protocol and the number of folds are in the sweep."""

    seed: Seed
    folds: Annotated[list[Parts], msgspec.Meta(min_length=1)]
    left_out: list[str] = []  # sentences on tracks missing in the protocol's list or in the table


class Retraining(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A config retrained on every fold with several seeds.

    Its model is the network of the first fold and the first seed.
    """

    epochs: Positive
    config_id: ConfigId
    protocol: str  # the sweep's, if no other was requested
    num_folds: Positive  # of this protocol, not the sweep's
    seeds: Annotated[list[Seed], msgspec.Meta(min_length=1)]
    matmul_precision: MatmulPrecision


class Session(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A process that trained trials of the run or retrained a config."""

    started: str  # ISO 8601, UTC
    command: str
    platform: str
    devices: list[str]
    versions: dict[str, str]
    trials_before: Count  # finished trials when it began


class Manifest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A run: sweep, data, splits, sessions, times, and checksums of its files."""

    status: Literal["running", "finished"]
    resume: str  # the command that resumes the run
    sweep: dict[str, Any]  # checked by ``sweep_of``
    seeds: Annotated[list[Seed], msgspec.Meta(min_length=1)]
    data: Data
    split: Split
    matmul_precision: MatmulPrecision
    sessions: list[Session] = []
    sha256: dict[str, Sha256] = {}  # checksums of finished files by path, and of folders by name
    retraining: Retraining | None = None  # in best/, written by the sweep
    retrainings: dict[FolderName, Retraining] = {}  # in retrained/, written by the command
    # Of the session that finished the run.
    timings_s: dict[str, float] = {}
    programs_compiled: Count | None = None
    peak_rss_bytes: Count | None = None
    diverged: Count | None = None  # number of configs
    # The smallest detectable difference of accuracies from the best config; see analysis.selection.
    detectable: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None


def encode(manifest: Manifest) -> str:
    """Returns the text of manifest.json."""
    document = sealed({"format": FORMAT} | as_dict(manifest))
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def decode(content: bytes, where: Path) -> Manifest:
    """Parses the content of manifest.json; ``where`` is its path."""
    try:
        document = json.loads(content)
        whole = is_sealed(document)  # also rejects NaN and infinity
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} is damaged: {_reason(error)}") from None
    if not whole:
        raise InputError(f"{where} is damaged or has been edited: its checksum is wrong")
    del document["checksum"]
    found = document.pop("format", 1)
    if found != FORMAT:
        raise InputError(
            f"{where} has format {reprlib.repr(found)}, but this version reads format {FORMAT}; "
            "use the version that wrote it, or run the sweep again in a new folder"
        )
    try:
        return msgspec.convert(document, Manifest)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} is not a valid manifest: {_reason(error)}") from None


def as_dict(value: msgspec.Struct) -> dict[str, Any]:
    """Returns a manifest, or a part of one, as dicts and lists."""
    plain: dict[str, Any] = msgspec.to_builtins(value)
    return plain


def sweep_of(manifest: Manifest, where: Path) -> Sweep:
    """Returns the sweep of a manifest."""
    description = dict(manifest.sweep)
    name = description.pop("name", None)
    if not isinstance(name, str):
        raise InputError(f"{where} is not a valid manifest: $.sweep.name is missing or no text")
    return parse_sweep(description, name, str(where))


def environment(sessions: Sequence[Session]) -> Mapping[str, str]:
    """Returns platform, devices and versions, each with the values of all sessions."""
    parts = [
        {
            "platform": session.platform,
            "devices": ", ".join(session.devices),
            **{f"versions.{package}": version for package, version in session.versions.items()},
        }
        for session in sessions
    ]
    keys = dict.fromkeys(key for part in parts for key in part)
    return {
        key: "; ".join(dict.fromkeys(part[key] for part in parts if key in part)) for key in keys
    }


def _reason(error: Exception) -> str:
    return printable(f"{error}"[:200])  # it may quote the file
