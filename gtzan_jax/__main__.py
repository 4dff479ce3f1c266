"""Lists the commands: ``python -m gtzan_jax``. Imports none of them: imports take seconds."""

import sys

import gtzan_jax
from gtzan_jax import console
from gtzan_jax.errors import nearest

COMMANDS = {
    "sweep": "trains every config of a sweep: the main job",
    "retrain": "retrains another config of a finished sweep",
    "predict": "predicts the genres of songs",
    "demo": "serves a page that predicts the genres of songs",
    "report": "writes an HTML report on a finished sweep",
    "compare": "compares finished sweeps",
    "eda": "explores a feature table",
    "extract": "computes the feature table of a folder of songs",
    "baselines": "compares networks with classical models",
}


def main(arguments: list[str]) -> None:
    """Prints the commands; fails if there are arguments."""
    if arguments and arguments[0] not in ("--help", "-h"):
        word = arguments[0]
        if word in COMMANDS:
            remedy = f"the command is python -m gtzan_jax.{word}"
        else:
            remedy = f"python -m gtzan_jax lists the commands{nearest(word, COMMANDS)}"
        console.fail(f"unexpected argument {word!r}; {remedy}", console.USAGE_ERROR)
    print(f"gtzan_jax {gtzan_jax.__version__}: hyperparameter sweeps of small networks in JAX\n")
    for name, purpose in COMMANDS.items():
        print(f"  python -m gtzan_jax.{name:<9}  {purpose}")
    print("\nAdd --help to a command to list its flags.")


if __name__ == "__main__":
    with console.ended():
        main(sys.argv[1:])
