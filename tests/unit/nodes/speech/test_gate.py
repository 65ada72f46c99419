from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.nodes.speech.gate import Edge, SpeechGate

W = 10  # samples of a window


def gate(**changed):
    return SpeechGate(**{"window": W, "min_speech": 30, "min_silence": 50, "max_speech": 400, "lead": 20, **changed})


def edges(text, one=None):
    """Decisions as ``#`` for speech and ``.`` for quiet; edges as ``(begins, at)``."""
    one = one or gate()
    found = [edge for mark in text for edge in one.feed(mark == "#")]
    return [(edge.begins, edge.at) for edge in [*found, *one.finish(W * len(text))]]


@pytest.mark.parametrize(
    ("decisions", "stretches"),
    [
        ("." * 30, []),
        ("....######......", [(True, 20), (False, 120)]),  # a lead of 2 windows before and after
        ("######......", [(True, 0), (False, 80)]),  # not before the stream begins
        ("....##......####", [(True, 100), (False, 160)]),  # 2 windows are too short
        ("....###......", [(True, 20), (False, 90)]),  # 3 are not
        ("....#.#.#......", [(True, 20), (False, 110)]),  # nor are they with quiet between them
        ("....######", [(True, 20), (False, 100)]),  # the stream ends
        ("....######.", [(True, 20), (False, 110)]),
        ("....######...", [(True, 20), (False, 120)]),
        ("....##", []),
        ("###....###......", [(True, 0), (False, 120)]),  # 4 windows of quiet do not end it
        ("###.....###......", [(True, 0), (False, 50), (True, 60), (False, 130)]),  # 5 do
    ],
)
def test_stretches_begin_and_end_where_somebody_speaks(decisions, stretches):
    assert edges(decisions) == stretches


def test_a_beginning_is_told_as_soon_as_there_was_enough_and_an_end_after_the_silence():
    one = gate()
    told = [bool(one.feed(mark == "#")) for mark in "..###......"]
    assert told == [False] * 4 + [True] + [False] * 4 + [True, False]


@pytest.mark.parametrize(
    ("length", "stretches"),
    [
        (34, [(True, 0), (False, 360)]),
        (40, [(True, 0), (False, 400)]),
        (42, [(True, 0), (False, 400)]),  # what follows is too short to be speech by itself
        (43, [(True, 0), (False, 400), (True, 400), (False, 450)]),
    ],
)
def test_speech_without_a_pause_is_split_at_the_limit(length, stretches):
    assert edges("#" * length + "." * 10) == stretches


def test_what_never_becomes_speech_is_not_kept_for_long():
    one = gate(min_speech=300)
    assert edges("#..." * 100, one) == []
    assert one.needed_from >= 4000 - 400


def test_long_speech_is_split_at_its_last_pause_and_nothing_is_lost():
    found = edges("#" * 15 + "." + "#" * 10 + "." + "#" * 40)
    assert found[:3] == [(True, 0), (False, 260), (True, 260)]
    assert all(one[1] == other[1] for one, other in list(pairwise(found))[1:-1:2])


def test_a_pause_in_the_first_half_is_no_place_to_split():
    assert edges("#" * 15 + "." + "#" * 60)[:3] == [(True, 0), (False, 400), (True, 400)]


def test_what_comes_after_a_gap_begins_anew():
    one = gate()
    assert [edge for _ in range(5) for edge in one.feed(True)] == [Edge(True, 0)]
    assert one.finish(57) == [Edge(False, 57)]
    assert one.finish(57) == []
    assert [edge for _ in range(3) for edge in one.feed(True)] == [Edge(True, 57)]


@given(st.text(alphabet="#.", max_size=200), st.integers(0, 60), st.integers(0, 80), st.integers(60, 500))
def test_stretches_never_overlap_and_are_never_too_long_whatever_comes(text, min_speech, min_silence, max_speech):
    one = gate(min_speech=min_speech, min_silence=min_silence, max_speech=max_speech)
    found, needed = [], 0
    for mark in text:
        sure = one.certain
        for edge in one.feed(mark == "#"):
            assert edge.at >= needed, "its sound has been let go"
            found.append(edge)
        assert one.needed_from >= needed
        needed = one.needed_from
        assert sure is None or not found or found[-1].begins or found[-1].at >= sure[0]
    found += one.finish(W * len(text))
    assert [edge.begins for edge in found] == [True, False] * (len(found) // 2)
    assert all(earlier.at <= later.at for earlier, later in pairwise(found))
    for begin, end in zip(found[::2], found[1::2], strict=True):
        assert 0 <= end.at - begin.at <= max_speech + 2 * W
