"""Digests of what six small sweeps write, each by one and two workers and once killed and resumed.

    python tests/golden_bytes.py record FOLDER     writes FOLDER/golden.json
    python tests/golden_bytes.py check FOLDER      compares with it; exits with 1 if a byte differs

Digests hold on one kind of processor only, so none are kept here: before a change of the trainer,
record in a checkout of the version before, then check in the changed one. Both read the same
tables, those of FOLDER, so that the sample may change. ``--only=grid,cnn`` runs a part.

The tables are the real one and a folder of GTZAN's songs, where they are found (see conftest.py),
else the sample and made-up songs; three-second segments are the sample's, kept in FOLDER.
"""

import argparse
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILES = ("results.csv", "trials.csv", "history.csv")
TABLES = (ROOT / "data", ROOT.parent / "shared" / "data")
RUNS_BY = ("1 worker", "2 workers", "killed and resumed")
KILLED_AT = (0.5, 0.75)  # of the time that a whole run takes

MLP = """
batch_size = 32
loss = "cross_entropy"
leaky_slope = 0.2
"""
SWEEPS = {
    "grid": """
epochs = 3
num_seeds = 2
[axes]
num_units1 = [64, 128]
num_units2 = [64]
num_units3 = [32, 64]
dropout1 = [0.1, 0.2]
activation = ["relu", "leaky_relu"]
initializer = ["glorot_uniform", "random_uniform"]
optimizer = ["adam", "sgd", "rmsprop"]
""",
    "early_stopping": """
epochs = 24
protocol = "kfold"
num_folds = 2
[axes]
num_units1 = [32, 64]
dropout1 = [0.1, 0.5]
optimizer = ["adam"]
learning_rate = [0.003, 0.02]
patience = [1, 3]
l2 = [0.0, 0.001]
mixup = [0.0, 0.4]
""",
    "halving": """
epochs = 9
protocol = "holdout"
[search]
kind = "halving"
[axes]
num_units1 = [32, 64]
num_units2 = [32]
dropout1 = [0.0, 0.4]
optimizer = ["adam", "sgd"]
learning_rate = [0.001, 0.003, 0.01, 0.03]
""",
    "tpe": """
epochs = 3
protocol = "holdout"
[search]
kind = "tpe"
num_configs = 24
batch = 8
[axes]
num_units1 = { low = 16, high = 64, step = 16 }
dropout1 = { low = 0.0, high = 0.6 }
optimizer = ["adam", "sgd"]
learning_rate = { low = 1e-4, high = 1e-1, log = true }
""",
    "cnn": """
epochs = 1
protocol = "holdout"
[learning_rates]
adam = 0.005
[axes]
filters = [8]
blocks = [2]
kernel = [3]
dropout = [0.0, 0.2]
optimizer = ["adam"]
time_mask = [0, 8]
""",
    "segments": """
epochs = 3
protocol = "artist_kfold"
[axes]
num_units1 = [32, 64]
optimizer = ["adam", "sgd"]
learning_rate = [0.001, 0.01]
""",
}


def find(*names: str) -> Path | None:
    """Returns the first of some files or folders that is among the tables."""
    return next((t / name for name in names for t in TABLES if (t / name).exists()), None)


def data_of(sweep: str, folder: Path) -> str:
    """Returns what a sweep is given as ``--data``."""
    if sweep == "cnn":
        return str(find("audio100") or "sounds")
    if sweep != "segments":
        return str(find("features_30_sec.csv") or "sample")
    path = folder / "features_3_sec.csv"
    if not path.exists():
        from gtzan_jax.tables.sample import segments_text

        path.write_text(segments_text())
    return str(path)


def run(sweep: str, folder: Path, workdir: Path, workers: int, kill_after: float | None) -> float:
    """Runs a sweep, unless it is killed first; returns its seconds."""
    path = folder / f"{sweep}.toml"
    head, _, axes = SWEEPS[sweep].partition("[")
    path.write_text(f"{head}{MLP}[{axes}")
    command = [sys.executable, "-m", "gtzan_jax.sweep", f"--sweep={path}"]
    command += [f"--data={data_of(sweep, folder)}", f"--workdir={workdir}"]
    command += ["--retrain_epochs=0", f"--workers={workers}"]
    started = time.monotonic()
    with subprocess.Popen(
        command,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            output, _ = process.communicate(timeout=kill_after)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
        else:
            if process.returncode:
                raise SystemExit(f"{' '.join(command)}\n{output}")
    return time.monotonic() - started


def digests(workdir: Path) -> dict[str, str]:
    """Returns the digest of each file."""
    return {name: hashlib.sha256((workdir / name).read_bytes()).hexdigest()[:16] for name in FILES}


def measure(sweep: str, folder: Path, scratch: Path) -> dict[str, dict[str, str]]:
    """Returns the digests of a sweep's files by what may have changed them."""
    found, seconds = {}, 0.0
    for by in RUNS_BY:
        workdir = scratch / f"{sweep}-{by.replace(' ', '-')}"
        workers = 1 if by == RUNS_BY[0] else 2
        kills = KILLED_AT if by == RUNS_BY[2] else ()
        for share in kills:
            run(sweep, folder, workdir, workers, share * seconds)
        seconds = run(sweep, folder, workdir, workers, None)
        found[by] = digests(workdir)
    return found


def main() -> int:
    """Records or checks."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("action", choices=["record", "check"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default=",".join(SWEEPS))
    arguments = parser.parse_args()
    import tempfile

    sys.path.insert(0, str(ROOT))
    folder = arguments.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    golden_path = folder / "golden.json"
    golden = json.loads(golden_path.read_text()) if golden_path.exists() else {}
    wrong = 0
    for sweep in arguments.only.split(","):
        with tempfile.TemporaryDirectory(prefix="golden-") as scratch:
            found = measure(sweep, folder, Path(scratch))
        if arguments.action == "record":
            golden[sweep] = found["1 worker"]
        for by, files in found.items():
            for name, digest in files.items():
                same = digest == golden[sweep][name]
                wrong += not same
                if not same:
                    print(f"{sweep}, {by}: {name} differs")
        print(f"{sweep}: {' '.join(found['1 worker'].values())}", flush=True)
    if arguments.action == "record":
        golden_path.write_text(json.dumps(golden, indent=1))
    print("every byte is the same" if not wrong else f"{wrong} files differ")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
