"""Old phrases that plain words have replaced stay away from all that people read."""

import re

import pytest
from conftest import ROOT

PLACES = ("README.md", "CONTRIBUTING.md", "docs", "gtzan_jax", "benchmarks", "sweeps", "notebooks")
TEXTS = [
    path
    for place in PLACES
    for path in sorted([ROOT / place] if (ROOT / place).is_file() else (ROOT / place).rglob("*"))
    if path.suffix in {".md", ".py", ".toml", ".ipynb", ".j2"}
]
# Terms of RIFF files and a key of Kubernetes.
ALLOWED = {("chunk", "streams.py"), ("_chunk", "streams.py"), ("replica", "clusters.md")}


@pytest.mark.parametrize(
    "phrase",
    [
        r'"""(What|Whether|How|Who|Where|When|Says|Tells)\b',
        r"\b(Returns|Yields|Makes|Prints) (what|whether there|how it)\b",
        r"\b(gone|goes|go|went|going) on with\b|\bgoes on where\b",
        r"\b(hears?|heard|hearing)\b",
        r"\b(member-epochs?|members? of a sweep|replicas?|replicates?)\b",
        r"\bchunks?\b|_chunks?\b|\bchunk_",
        r"\bmade anew\b|\bstands? in for\b|\bis to be made of\b|\bbears? out\b",
        r"\b(figures?|accurac(y|ies)|numbers?) (reads?|hears?)\b",
        r"\bcannot be told from\b|\btold apart\b|\btell\w* (\w+ )?apart\b",
        r"\bwhat came of\b|\bwhat comes? of\b|\bis at hand\b|\bUNLIKE\b",
    ],
)
def test_an_old_phrase_is_found_nowhere(phrase):
    found = [
        f"{path.relative_to(ROOT)}:{text.count(chr(10), 0, match.start()) + 1}: {match[0]}"
        for path in TEXTS
        for text in [path.read_text(encoding="utf-8")]
        for match in re.finditer(phrase, text)
        if (match[0].rstrip("s"), path.name) not in ALLOWED
    ]
    assert not found, "\n".join(found)
