"""Lists the commands: ``python -m gtzan_jax``. Imports none of them, which would take seconds."""

import sys

import gtzan_jax
from gtzan_jax import console
from gtzan_jax.errors import nearest

COMMANDS = {
    "sweep": "trains every config of a sweep: the main job",
    "retrain": "retrains another config of a finished sweep",
    "predict": "says which genres songs are of",
    "demo": "predicts songs on a page in the browser",
    "report": "writes one page on a finished sweep",
    "compare": "puts finished sweeps side by side",
    "eda": "explores the feature table",
    "extract": "computes the feature table of a folder of songs",
    "baselines": "compares the network with classical models",
}


def main(arguments: list[str]) -> None:
    """Prints the commands, or that there is nothing to do with the arguments."""
    if arguments and arguments[0] not in ("--help", "-h"):
        word = arguments[0]
        if word in COMMANDS:
            remedy = f"python -m gtzan_jax.{word} is the command"
        else:
            remedy = f"python -m gtzan_jax lists the commands{nearest(word, COMMANDS)}"
        console.fail(f"unexpected argument {word!r}; {remedy}", console.USAGE_ERROR)
    print(f"gtzan_jax {gtzan_jax.__version__}: every neural network of a grid, trained at once\n")
    for name, purpose in COMMANDS.items():
        print(f"  python -m gtzan_jax.{name:<9}  {purpose}")
    print("\n--help after any of them lists its flags.")


if __name__ == "__main__":
    with console.ended():
        main(sys.argv[1:])
