import itertools

import numpy as np
import pytest

from gtzan_jax.inference import front_end
from gtzan_jax.inference.front_end import FrontEnd
from gtzan_jax.sound.features import segments_of

WHOLE_SONGS = FrontEnd.of_rows(0, is_segmented=False)
SEGMENTS = FrontEnd.of_rows(66_149, is_segmented=True)
RATE = 22_050


@pytest.mark.parametrize("samples", [66_149, 66_150, 132_301, 661_500, 661_501, 661_794, 3_000_000])
def test_segments_are_those_of_the_table(samples):
    song = np.random.default_rng(0).normal(size=samples).astype(np.float32)
    spans = SEGMENTS.spans(samples)
    expected = segments_of(song)
    assert len(spans) == len(expected)
    for span, segment in zip(spans, expected, strict=True):
        np.testing.assert_array_equal(song[span.start : span.end], segment)


@pytest.mark.parametrize(
    ("seconds", "windows"), [(1, 1), (29.9, 1), (30.6, 1), (44.9, 1), (45.1, 2), (240, 8)]
)
def test_a_song_is_divided_into_equal_parts_of_about_the_models_length(seconds, windows):
    samples = round(seconds * RATE)
    spans = WHOLE_SONGS.spans(samples)
    assert len(spans) == windows
    assert (spans[0].start, spans[-1].end) == (0, samples)
    lengths = np.array([span.end - span.start for span in spans])
    assert np.ptp(lengths) == 0
    gaps = [after.start - before.end for before, after in itertools.pairwise(spans)]
    assert max(map(abs, gaps), default=0) <= 1
    assert seconds < 29 or abs(lengths[0] / WHOLE_SONGS.samples - 1) <= 0.5


@pytest.mark.parametrize("length", [*range(660_000, 675_809, 3_952)])
def test_every_length_of_gtzans_songs_is_heard_whole(length):
    assert WHOLE_SONGS.spans(length) == [front_end.Span(0, length)]


@pytest.mark.parametrize("heard", [SEGMENTS, WHOLE_SONGS])
@pytest.mark.parametrize("seconds", [2.0, 31.0, 100.0])
def test_a_hop_makes_windows_overlap(heard, seconds):
    samples, hop = round(seconds * RATE), RATE // 2
    spans, plain = heard.spans(samples, hop), heard.spans(samples)
    starts = np.diff([span.start for span in spans])
    assert (starts <= hop).all()
    assert len(spans) >= len(plain)
    assert {span.end - span.start for span in spans} == {plain[0].end - plain[0].start}
    assert spans[-1].end <= samples
    assert heard.step is not None or spans[-1].end == samples


def test_a_song_shorter_than_a_segment_is_one():
    assert SEGMENTS.spans(1_000) == [front_end.Span(0, 1_000)]


@pytest.mark.parametrize(
    ("samples", "is_segmented", "expected"),
    [
        (661_794, False, (661_794, None)),
        (66_149, True, (66_149, 66_150)),
        (110_249, True, (110_249, 110_250)),
        (0, False, (661_794, None)),
        (5, True, (66_149, 66_150)),
    ],
)
def test_a_model_hears_as_its_table_was_made(samples, is_segmented, expected):
    heard = FrontEnd.of_rows(samples, is_segmented)
    assert (heard.samples, heard.step) == expected


def test_each_window_becomes_an_input(monkeypatch):
    monkeypatch.setattr(front_end, "features_of", lambda window: np.array([window.sum(), 1.0]))
    song = np.arange(10, dtype=np.float32)
    made = WHOLE_SONGS.inputs(song, [front_end.Span(0, 4), front_end.Span(4, 10)])
    np.testing.assert_array_equal(made, [[6, 1], [39, 1]])
