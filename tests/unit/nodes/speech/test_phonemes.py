import pytest

from penstock.nodes.speech.espeak_library import load_library
from penstock.nodes.speech.phonemes import Speller, has_han, read_tokens
from support import voice_models


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    return voice_models.piper(tmp_path_factory.mktemp("voice")) / "tokens.txt"


@pytest.fixture(scope="module")
def spell(tokens):
    return Speller(tokens, "en-us")


@pytest.fixture(scope="module")
def spell_kokoro(tokens):
    return Speller(tokens, "en-us", kokoro_letters=True)


@pytest.mark.parametrize(
    ("text", "sounds"),
    [
        ("Hello there!", "həlˈoʊ ðˈɛɹ!"),
        ("Yes, no; maybe: or?", "jˈɛs, nˈoʊ; mˈeɪbiː: ɔːɹ?"),
        ('He said "go." Then left', "hiː sˈɛd ɡˈoʊ. ðˈɛn lˈɛft."),
        ("Maybe (or not). End", "mˈeɪbiː ɔːɹ nˈɑːt. ˈɛnd."),
        ("One, two,", "wˌʌn, tˈuː."),
        ("It is 3.14.", "ɪɾ ɪz θɹˈiː pɔɪnt wˈʌn fˈɔːɹ."),
        ("Ask Dr. Smith.", "ˈæsk dˈɑːktɚ smˈɪθ."),
        ("Yes… no — End", "jˈɛs. nˈoʊ, ˈɛnd."),
    ],
)
def test_a_sentence_is_spelled_with_the_marks_between_its_clauses(spell, text, sounds):
    assert spell(text) == sounds


@pytest.mark.parametrize("text", ["", " ", "?!", "…", "\0", "\u200d"])
def test_nothing_to_pronounce_is_nothing(spell, text):
    assert spell(text) == ""


def test_the_later_kokoro_voices_have_letters_for_diphthongs_and_affricates(spell_kokoro):
    said = spell_kokoro("no day my cow boy church judge bird father little rat")
    assert said == "nˈO dˈA mI kˈW bˈY ʧˈɜɹʧ ʤˈʌʤ bˈɜɹd fˈɑðəɹ lˈɪTᵊl ɹˈæt."


def test_symbols_are_decomposed_for_models_that_were_taught_so(tokens, tmp_path):
    letters = "ɪ.ˈcxn\u0327"
    (tmp_path / "tokens.txt").write_text("".join(f"{letter} {n}\n" for n, letter in enumerate(letters)))
    assert Speller(tmp_path / "tokens.txt", "de", decompose=True)("ich") == "ɪc\u0327."
    assert Speller(tokens, "de")("ich") == "ɪç."


def test_a_symbol_that_the_model_has_not_is_left_out(tmp_path):
    (tmp_path / "tokens.txt").write_text("h 0\nl 1\n. 2\n")
    assert Speller(tmp_path / "tokens.txt", "en-us")("Hello!") == "hl."


def test_tokens_may_be_a_space(tmp_path):
    (tmp_path / "tokens.txt").write_text("a 0\n  1\nˈ 2\n\n")
    assert read_tokens(tmp_path / "tokens.txt") == {"a", " ", "ˈ"}


@pytest.mark.parametrize("text", ["abc", "日本", "😀", "a\0b", "\ud800", "x" * 5000, "<b>", "¿Qué?"])
def test_odd_text_is_spelled_without_harm(spell, text):
    assert isinstance(spell(text), str)


def test_clauses_come_with_the_text_they_are_made_of():
    library = load_library()
    clauses = library.phonemes("Well, go.", library.find_voice("en-us"))
    assert [sounds for sounds, _ in clauses] == ["wˈɛl", "ɡˈoʊ"]
    assert [text.strip()[-1] for _, text in clauses] == [",", "."]


def test_chinese_is_told_from_other_scripts():
    assert has_han("ok 你好")
    assert not has_han("こんにちは, привет, hello")
