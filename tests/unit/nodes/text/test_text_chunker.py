from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from penstock.errors import BadData
from penstock.nodes.text.text_chunker import TextChunker, TextChunkerConfig
from penstock.packets import Audio, Binary, Text


def chunk(*pieces, **params):
    """Chunks of pieces that are fed one by one: text as Text, bytes as Binary."""
    chunker = TextChunker(TextChunkerConfig(**params))
    out = []
    for piece in pieces:
        out += chunker.process(Text(piece) if isinstance(piece, str) else Binary(piece)) or []
    out += chunker.finish() or []
    return [packet.text for packet in out]


def sentences(text, **params):
    return chunk(text, min_length=1, **params)


def solid(text):
    return "".join(text.split())


@pytest.mark.parametrize(
    "expected",
    [
        ["One is here.", "Two is there!", "Is three?", "Yes"],
        ["Pi is 3.14 or so.", "It costs 1,000.50 today."],
        ["Bring fruit, e.g. apples, i.e. food.", "Done."],
        ["Dr. Who met Mrs. Jones vs. Mr. X. They left."],  # "X." is taken for an initial
        ["J. R. R. Tolkien wrote it.", "We read it."],
        ["Well... maybe so.", "Or not...", "Who knows…", "Nobody."],
        ['He said "Stop!" and left.', 'She said "Go."', "They went."],
        ["Look at example.com/a.html now.", "Version 1.2.3 is out."],
        ["What?!", "No way!!!", "Really."],
        ["(All of this.)", "[And that!]", "End."],
        ["A heading without a mark", "A paragraph."],
        ["今日は良い天気です。", "「はい。」", "そうですか？", "ええ！"],
        ["圆周率是３．１４。", "好。"],
        ["هل أنت بخير؟", "نعم."],
        ["यह पहला है।", "यह दूसरा है।"],
        ["ይህ ነው።", "ያ ነው።"],
        ["Línea uno.", "¿Qué tal?", "¡Bien!"],
    ],
)
def test_sentences_end_where_a_reader_would_pause(expected):
    joined = "\n\n".join(expected) if "heading" in expected[0] else " ".join(expected)
    assert sentences(joined) == expected


def test_scripts_without_spaces_are_cut_without_them():
    assert sentences("今日は。「はい。」と言う！本当？") == ["今日は。", "「はい。」", "と言う！", "本当？"]


def test_clauses_end_at_commas_colons_and_dashes_too_but_not_inside_numbers():
    text = "At 12:30, with 1,000 people: we—all of us—went 10–20 km; then home. 你好，世界。"
    assert chunk(text, split_mode="clauses", min_length=1) == [
        "At 12:30,",
        "with 1,000 people:",
        "we—",
        "all of us—",
        "went 10–20 km;",
        "then home.",
        "你好，",
        "世界。",
    ]


def test_the_first_boundary_by_position_counts_whatever_its_mark():
    assert sentences("Is it? Yes. Go! Now.") == ["Is it?", "Yes.", "Go!", "Now."]


@pytest.mark.parametrize(("min_length", "expected"), [(4, ["Ab c.", "De."]), (5, ["Ab c.", "De."]), (6, ["Ab c. De."])])
def test_a_sentence_below_the_least_length_is_joined_to_the_next(min_length, expected):
    assert chunk("Ab c. De.", min_length=min_length) == expected


@pytest.mark.parametrize(
    ("count", "expected"), [(1, ["a", "b", "c", "d"]), (3, ["a b c", "d"]), (4, ["a b c d"]), (5, ["a b c d"])]
)
def test_words_are_grouped(count, expected):
    assert solid("".join(expected)) == "abcd"
    assert [solid(part) for part in chunk("a b  c\nd", split_mode="words", chunk_words=count)] == list(
        map(solid, expected)
    )


def test_a_sentence_is_sent_as_soon_as_the_next_character_is_known():
    chunker = TextChunker(TextChunkerConfig(min_length=1))
    assert chunker.process(Binary(b"It is 3.")) is None
    assert chunker.process(Binary(b"5 now.")) is None
    assert chunker.process(Binary(b" ")) == [Text("It is 3.5 now.")]
    assert not chunker.finish()


@pytest.mark.parametrize("size", [19, 20, 21])
def test_text_without_a_boundary_is_cut_at_the_limit(size):
    assert [len(part) for part in chunk("x" * size, max_length=20)] == ([size] if size <= 20 else [20, 1])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("aaaa bbbb cccc dddd eeee", ["aaaa bbbb cccc dddd", "eeee"]),  # the 20th character is white space
        ("aaaa bbbb cccc ddddd eee", ["aaaa bbbb cccc ddddd", "eee"]),  # it is the one after the 20th
        ("aaaa bbbb cccc dddddd ee", ["aaaa bbbb cccc", "dddddd ee"]),
    ],
)
def test_text_without_a_boundary_is_cut_at_white_space(text, expected):
    assert chunk(text, max_length=20) == expected


def test_a_letter_is_not_cut_from_its_combining_marks():
    text = "x" * 19 + "e\u0301\u0302" + "y"
    assert chunk(text, max_length=20) == ["x" * 19, "e\u0301\u0302y"]
    assert [len(part) for part in chunk("\u0301" * 45, max_length=20)]  # nothing but marks still ends


def test_held_text_is_bounded_whatever_comes():
    chunker = TextChunker(TextChunkerConfig(max_length=100))
    for _ in range(50):
        chunker.process(Text("x" * 990))
        assert len(chunker._text) <= 100


def test_a_character_in_two_packets_is_one_character():
    encoded = "Grüße aus Köln 🎤.".encode()
    assert chunk(*(encoded[i : i + 1] for i in range(len(encoded)))) == ["Grüße aus Köln 🎤."]


def test_a_byte_order_mark_is_dropped():
    assert chunk(b"\xef\xbb", b"\xbfHello there.") == ["Hello there."]


@pytest.mark.parametrize(
    ("pieces", "offset"),
    [
        ((b"abc\xff",), 3),
        ((b"abc", b"d\xffe"), 4),
        ((b"ab\xe2", b"\x82", b"x"), 2),  # the bad character began two packets ago
        ((b"OggS\x00\x02\x80",), 6),
        ((b"ab\xe2\x82",), 2),  # the input ends inside a character
        ((b"ab\xe2", "text"), 2),
    ],
)
def test_input_that_is_not_utf_8_is_an_error_with_its_offset(pieces, offset):
    with pytest.raises(BadData, match=f"not UTF-8 at byte {offset} "):
        chunk(*pieces)


def test_a_packet_that_is_no_text_is_refused():
    with pytest.raises(BadData, match="not of Audio"):
        TextChunker(TextChunkerConfig()).process(Audio(None, 1))


@pytest.mark.parametrize("text", ["", " ", "\n\n\n", "\ufeff"])
def test_nothing_comes_of_nothing(text):
    assert chunk(text) == []


WORDS = ["a", "B", "word", "e.g", "Dr", "3", "14", "é", "e\u0301", "🎤", "今日"]
MARKS = [".", "..", "…", "!", "?", ",", ":", "—", "。", "」", '"', ")", "。」", "？", "।"]
PIECES = st.sampled_from([*WORDS, *MARKS, " ", "  ", "\n", "\n\n"])
TEXTS = st.lists(PIECES, max_size=80).map("".join)
PARAMS = st.fixed_dictionaries(
    {
        "split_mode": st.sampled_from(["sentences", "clauses", "words"]),
        "min_length": st.integers(0, 20),
        "chunk_words": st.integers(1, 4),
        "max_length": st.integers(20, 40),
    }
)


@given(text=TEXTS | st.text(max_size=100), params=PARAMS)
def test_the_chunks_are_the_text_again_up_to_white_space(text, params):
    text = text.removeprefix("\ufeff").encode("utf-8", "ignore").decode()
    chunks = chunk(text, **params)
    assert solid("".join(chunks)) == solid(text.removeprefix("\ufeff"))
    assert all(part and part == part.strip() and len(part) <= params["max_length"] for part in chunks)


@given(text=TEXTS, params=PARAMS, cuts=st.lists(st.integers(0, 300), max_size=20))
def test_any_split_of_the_bytes_gives_the_same_chunks(text, params, cuts):
    encoded = text.encode()
    edges = [0, *sorted(cut for cut in cuts if cut < len(encoded)), len(encoded)]
    pieces = [encoded[a:b] for a, b in pairwise(edges)]
    assert chunk(*pieces, **params) == chunk(text, **params)


@pytest.mark.parametrize(
    "params",
    [
        {"split_mode": "lines"},
        {"min_length": -1},
        {"chunk_words": 0},
        {"max_length": 19},
        {"min_length": 3000},
        {"min_length": "10"},
    ],
)
def test_bad_parameters_are_errors(params):
    with pytest.raises(ValidationError):
        TextChunkerConfig.model_validate(params)


@given(
    st.lists(
        st.tuples(
            st.text("ab .,!\n", max_size=30),
            st.fixed_dictionaries(
                {},
                optional={
                    "split_mode": st.sampled_from(["sentences", "clauses", "words"]),
                    "min_length": st.integers(0, 20),
                    "chunk_words": st.integers(1, 5),
                    "max_length": st.integers(20, 60),
                },
            ),
        ),
        max_size=8,
    )
)
def test_however_it_is_tuned_no_letter_is_lost_or_moved(steps):
    chunker = TextChunker(TextChunkerConfig())
    out = []
    for text, params in steps:
        chunker.tune(TextChunkerConfig(**params))
        out += chunker.process(Text(text)) or []
    out += chunker.finish() or []
    assert solid("".join(packet.text for packet in out)) == solid("".join(text for text, _ in steps))


def test_what_is_held_is_cut_by_the_new_rule():
    chunker = TextChunker(TextChunkerConfig())
    assert chunker.process(Text("one two three four")) is None
    chunker.tune(TextChunkerConfig(split_mode="words", chunk_words=2))
    assert [packet.text for packet in chunker.process(Text(" five"))] == ["one two", "three four"]


@pytest.mark.parametrize(
    ("packet", "leaves"),
    [
        ("It is warm in Rome.", True),
        ('She said "It rains." ', True),
        ("It is 21 degrees, or 22.", True),
        ("今日は 良い天気です。", True),
        ("One more, Dr.", False),  # an abbreviation: there is more to come
        ("It is warm", False),
        ("So be it.", False),  # shorter than min_length
        ("Abracadabra.", False),  # one word may be a piece of a sentence, as language models send them
    ],
)
def test_a_message_that_ends_at_a_mark_does_not_wait_for_the_next(packet, leaves):
    chunker = TextChunker(TextChunkerConfig())
    made = chunker.process(Text(packet)) or []
    assert [chunk.text for chunk in made] == ([packet.strip()] if leaves else [])
    after = chunker.process(Text(" Another begins here.")) or []
    assert [chunk.text for chunk in [*made, *after, *(chunker.finish() or [])]][-1].endswith("Another begins here.")


def test_a_message_leaves_in_the_chunks_it_would_have_been_cut_into():
    chunker = TextChunker(TextChunkerConfig(split_mode="clauses", min_length=1))
    made = chunker.process(Text("It is warm, and dry. No rain!")) or []
    assert [chunk.text for chunk in made] == ["It is warm,", "and dry.", "No rain!"]
    assert chunker.finish() == []
