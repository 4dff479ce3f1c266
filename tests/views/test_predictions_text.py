import dataclasses
import json

import numpy as np
import pytest
from conftest import make_sweep, make_table
from finished_runs import random_model

from gtzan_jax.inference.calibration import Calibration, Held
from gtzan_jax.inference.front_end import Span
from gtzan_jax.inference.prediction import Explanation, Part, Prediction, Unlike
from gtzan_jax.views import predictions
from gtzan_jax.views.predictions import Answer

MODEL = random_model(make_sweep().configs[3], make_table())
FAR = Unlike(5.25, 100, 1.5, (Part("tempo", 7.31), Part("mfcc1_mean", -4.0), Part("rms_var", 3.0)))


def a_prediction(**changes):
    plain = Prediction(
        path="a/song.mp3", seconds=250.0, genres=("rock", "blues", "pop", "jazz"),
        probabilities=np.array([0.61, 0.299, 0.071, 0.02]), is_calibrated=True,
        spans=[Span(0, 22_050)] * 8, by_window=np.full((8, 4), 0.25), unlike=None, trained_on=None,
        notes=(), inputs=np.zeros((8, 57), np.float32),
    )  # fmt: skip
    return dataclasses.replace(plain, **changes)


def text_of(explanation=None, **changes):
    return predictions.song(Answer("a/song.mp3", a_prediction(**changes), explanation))


def test_a_song_is_three_genres_with_their_probabilities():
    lines = text_of().splitlines()
    assert lines[:2] == ["a/song.mp3", "  4:10, 8 windows"]
    assert [line.split()[:3] for line in lines[2:]] == [
        ["rock", "61.0", "%"], ["blues", "29.9", "%"], ["pop", "7.1", "%"],
    ]  # fmt: skip
    assert [line.count("█") for line in lines[2:]] == [24, 12, 3]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"is_calibrated": False}, "not calibrated"),
        ({"trained_on": True}, "this song was in the training set"),
        ({"notes": ("it lasts 1.0 s",)}, "! it lasts 1.0 s"),
        ({"unlike": FAR}, "farther from the mean of the training songs than all of them; treat"),
        ({"unlike": FAR}, "OUT OF DISTRIBUTION: "),
        ({"unlike": FAR}, "(distance 5.2, limit 1.5); tempo 7.3 deviations above, mfcc1_mean 4.0 "),
        ({"unlike": FAR}, "mfcc1_mean 4.0 deviations below, rms_var 3.0 deviations above"),
        ({"unlike": dataclasses.replace(FAR, percentile=99)}, "than 99 % of them"),
    ],
)
def test_a_doubt_stands_beside_the_prediction(changes, words):
    assert words in " ".join(text_of(**changes).split())
    assert words not in " ".join(text_of().split())


def test_a_song_that_is_like_others_bears_no_warning():
    near = dataclasses.replace(FAR, distance=1.5)
    assert text_of(unlike=near, trained_on=False) == text_of()


def test_reasons_add_up():
    parts = [Part(f"mfcc{n}_mean", v) for n, v in enumerate((0.9, 0.5, 0.25, 0.1, 0.1, 0.05), 1)]
    parts += [Part("tempo", -0.2), Part("rms_var", -0.3)]
    lines = text_of(Explanation("rock", tuple(parts), -0.5, -1.9, 0.0, np.zeros(1))).splitlines()
    assert lines[5].split() == ["for", "rock", "against", "it"]
    assert lines[6].split() == ["mfcc1_mean", "+0.90", "rms_var", "−0.30"]
    assert lines[7].split() == ["mfcc2_mean", "+0.50", "tempo", "−0.20"]
    assert lines[8].split() == ["mfcc3_mean", "+0.25"]
    sums = " ".join(" ".join(lines[11:]).split())
    assert sums == (
        "+1.35 listed, +0.05 from 1 other feature: +1.40 nats in all; log-probability of rock "
        "−0.50, −1.90 for a song of average features"
    )
    off = text_of(Explanation("rock", tuple(parts), -0.5, -1.9, -0.125, np.zeros(1)))
    assert "the sum is off by 0.12" in " ".join(off.split())
    of_bands = Explanation("rock", tuple(parts), -0.5, -1.9, 0.0, np.zeros((1, 8, 3)))
    sums = " ".join(text_of(of_bands).split())
    assert "from 1 other band: +1.40" in sums
    assert sums.endswith("for a song of average bands")


def test_reasons_in_tags_have_a_rest_that_no_tag_explains():
    parts = (Part("jazz", 1.25), Part("pop", 0.5), Part("metal", -0.25))
    less = frozenset(["pop"])
    whole = Explanation("jazz", parts, -0.5, -2.25, 0.0, np.zeros((2, 200)), less, 0.25)
    lines = text_of(whole).splitlines()
    assert lines[6].split() == ["jazz", "+1.25", "metal", "−0.25"]
    assert lines[7].split() == ["less", "pop", "+0.50"]
    sums = " ".join(text_of(whole).split()).replace("log- ", "log-")
    assert sums.endswith(
        "+1.50 listed, 0.00 from 0 other tags, +0.25 explained by no tag: +1.75 nats in all; "
        "log-probability of jazz −0.50, −2.25 for a song of average features"
    )


def test_what_is_far_from_its_nearest_names_no_feature():
    far = text_of(unlike=dataclasses.replace(FAR, farthest=()))
    assert " ".join(far.split()).endswith(
        "farther from the nearest training song than all of the training songs are from theirs; "
        "treat with caution (distance 5.2, limit 1.5)"
    )


def test_hostile_names_stay_on_their_line():
    evil = "\x1b[31m\n" + "x" * 300
    shown = text_of(path=evil, genres=(evil, "a", "b", "c"), notes=(evil,), unlike=FAR)
    assert all(line.isprintable() for line in shown.splitlines())
    model = dataclasses.replace(MODEL, data=evil, protocol=evil)
    head = predictions.head(model, evil)
    assert all(line.isprintable() for line in head.splitlines())


THREE = Held(songs=3, accuracy=1.0, error=0.25, calibrated_error=0.25)
SIX = Held(songs=6, accuracy=1.0, error=0.25, calibrated_error=0.25)
HELD = Held(songs=290, accuracy=0.5, error=0.2, calibrated_error=0.05)


@pytest.mark.parametrize(
    ("calibration", "words"),
    [
        (None, "the calibration of its probabilities was not measured"),
        (
            Calibration(temperature=2.0, bins=10, validation=HELD, test=HELD),
            "correct on 50 % of 290 test songs; expected calibration error 5.0 points (calibrated "
            "on 290 validation songs, temperature 2.00; 20.0 without)",
        ),
        (
            Calibration(temperature=None, bins=10, validation=None, test=HELD),
            "expected calibration error 20.0 points not calibrated: the run has no validation "
            "part; retrain it with --protocol=holdout",
        ),
        (
            Calibration(temperature=1.0, bins=10, validation=SIX, test=THREE),
            "correct on 3 of 3 test songs; expected calibration error 25.0 points (not calibrated) "
            "too few songs to rely on (fewer than 100): temperature fitted on 6 (below 1, so left "
            "at 1), accuracy and error measured on 3",
        ),
        (
            Calibration(temperature=2.0, bins=10, validation=SIX, test=HELD),
            "correct on 50 % of 290 test songs; expected calibration error 5.0 points (calibrated "
            "on 6 validation songs, temperature 2.00; 20.0 without) too few songs to rely on "
            "(fewer than 100): temperature fitted on 6",
        ),
        (
            Calibration(temperature=None, bins=10, validation=None, test=THREE),
            "another protocol that has one too few songs to rely on (fewer than 100): accuracy and "
            "error measured on 3",
        ),
    ],
)
def test_the_head_says_how_far_the_model_is_to_be_believed(calibration, words):
    head = predictions.head(dataclasses.replace(MODEL, calibration=calibration), "runs/mine")
    told = " ".join(head.split())
    assert words in told
    few = calibration is not None and "too few" in words
    assert ("too few" in told) == few
    assert max(map(len, head.splitlines())) <= 80
    model = dataclasses.replace(MODEL, calibration=calibration)
    document = predictions.document(model, "runs/mine", [])["model"]["calibration"]
    assert bool(document and document["doubt"]) == few
    assert ("too few songs" in repr(model)) == few
    assert model.is_calibrated == (calibration is not None and calibration.temperature == 2)


@pytest.mark.parametrize(
    ("chance", "words"),
    [
        ((0.04, 0.0504), "alone 4.0 on average, and more than 5.0 in 5 % of cases: 5.0 is comp"),
        ((0.03, 0.049), "alone 3.0 on average, and more than 4.9 in 5 % of cases: 5.0 is more"),
        ((None, None), ""),
    ],
)
def test_the_head_compares_the_error_with_that_of_chance(chance, words):
    part = HELD._replace(chance_error=chance[0], chance_limit=chance[1])
    held = Calibration(temperature=2.0, bins=10, validation=HELD, test=part)
    model = dataclasses.replace(MODEL, calibration=held)
    told = " ".join(predictions.head(model, "runs/mine").split())
    assert words in told
    assert ("compatible with exact" in told) == ("5.0 is comp" in words)
    assert ("more than chance" in told) == ("5.0 is more" in words)
    assert ("chance" in told) == bool(words)
    document = predictions.document(model, "runs/mine", [])["model"]["calibration"]["test"]
    assert (document["chance_error"], document["chance_limit"]) == chance
    # Without a temperature it is the error of the probabilities as they are, of 20 points.
    bare = Calibration(
        temperature=None, bins=10, validation=None, test=part._replace(calibrated_error=None)
    )
    told = predictions.head(dataclasses.replace(MODEL, calibration=bare), "runs/mine")
    assert ("20.0 is more than chance" in " ".join(told.split())) == bool(words)


def test_what_json_has_no_number_for_is_null():
    far = dataclasses.replace(FAR, distance=np.inf)
    answers = [Answer("a", a_prediction(unlike=far)), Answer("b", error="b: empty")]
    document = predictions.document(MODEL, "runs/mine", answers)
    back = json.loads(json.dumps(document, allow_nan=False))
    assert back == document
    assert back["songs"][0]["unlike"]["distance"] is None
    assert back["errors"] == [{"path": "b", "error": "b: empty"}]
