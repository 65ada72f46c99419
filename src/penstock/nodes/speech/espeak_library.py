"""The espeak-ng library behind ctypes: load it once, list its voices, speak a text or tell how it is pronounced.

The library (from the wheel ``espeakng-loader``) is one global state a process: voice, settings, the phase of its
oscillators. A lock guards every call, and every call sets all that it depends on. The phases it keeps: the same text
spoken again may differ by some milliseconds, while the same texts in a new process give the same samples.
Reference: espeak-ng ``speak_lib.h``, API revision 12.
"""

from __future__ import annotations

import ctypes
import difflib
import os
import threading
from functools import cache
from typing import Any, Final

from penstock.errors import ConfigurationError, MissingDependency, PenstockError

__all__ = ["EspeakLibrary", "load_library"]

OUTPUT_SYNCHRONOUS: Final = 2
DO_NOT_EXIT: Final = 0x8000
POSITION_CHARACTER: Final = 1
TEXT_UTF8: Final = 1
END_PAUSE: Final = 0x1000
PHONEMES_IPA: Final = 0x02
PHONEMES_TIE: Final = 0x80
RATE, PITCH = 1, 3

BUFFER_MS: Final = 200
MAX_DATA_PATH: Final = 159

_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class _Voice(ctypes.Structure):
    """``espeak_VOICE``; ``languages`` is a list of one priority byte and a NUL-terminated code each."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_void_p),
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("internal", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    )


class EspeakLibrary:
    """espeak-ng, loaded and initialised.

    Attributes:
        sample_rate_hz: rate of everything it speaks.
        voices: identifier by language code, such as ``en-us``, in lower case; the best voice for each.
    """

    def __init__(self, library_path: str, data_path: str) -> None:
        """Load and initialise.

        Raises:
            MissingDependency: the library or its data cannot be loaded.
        """
        if len(os.fsencode(data_path)) > MAX_DATA_PATH:
            raise MissingDependency(
                f"espeak-ng's data is in '{data_path}', but it reads paths up to {MAX_DATA_PATH} bytes only; "
                "install penstock in a directory with a shorter path"
            )
        try:
            self._lib = _declare(ctypes.CDLL(library_path))
        except OSError as error:
            raise MissingDependency(f"the espeak-ng library cannot be loaded: {error}") from error
        self._lock = threading.Lock()
        self.sample_rate_hz = int(
            self._lib.espeak_Initialize(OUTPUT_SYNCHRONOUS, BUFFER_MS, os.fsencode(data_path), DO_NOT_EXIT)
        )
        self.voices = _list_voices(self._lib) if self.sample_rate_hz > 0 else {}
        if not self.voices:
            raise MissingDependency(f"espeak-ng found no voices in '{data_path}'; reinstall espeakng-loader")

    def speak(self, text: str, voice: str, *, words_per_minute: int, pitch: int, end_pause: bool) -> bytes:
        """Return a text as signed 16-bit mono samples; waits for whoever else is speaking.

        Args:
            text: what to say; no NUL, lone surrogates are replaced.
            voice: an identifier, a value of ``voices``.
            words_per_minute: 80 to 700 or so; the library holds it at 80 below.
            pitch: 0 to 100, 50 is the voice's own.
            end_pause: append the pause that belongs to the last mark.

        Raises:
            ConfigurationError: there is no such voice.
            PenstockError: the library failed.
        """
        encoded = text.encode("utf-8", "replace")
        collected: list[bytes] = []

        def collect(samples: Any, count: int, _events: int | None) -> int:
            if samples and count > 0:
                collected.append(ctypes.string_at(samples, 2 * count))
            return 0

        callback = _Callback(collect)
        flags = TEXT_UTF8 | (END_PAUSE if end_pause else 0)
        with self._lock:
            self._set_voice(voice)
            self._lib.espeak_SetParameter(RATE, words_per_minute, 0)
            self._lib.espeak_SetParameter(PITCH, pitch, 0)
            self._lib.espeak_SetSynthCallback(callback)
            code = self._lib.espeak_Synth(encoded, len(encoded) + 1, 0, POSITION_CHARACTER, 0, flags, None, None)
        if code != 0:
            raise PenstockError(f"espeak-ng failed with code {code} on a text of {len(text)} characters")
        return b"".join(collected)

    def phonemes(self, text: str, voice: str, *, tie: str = "") -> list[tuple[str, str]]:
        """Tell how a text is pronounced: for each clause its sounds in IPA, and the text it was made of.

        Args:
            text: what to say; what follows a NUL is left out, lone surrogates are replaced.
            voice: an identifier, a value of ``voices``.
            tie: a character put between the letters of one sound, as in ``t^ʃ``; none if empty.

        Raises:
            ConfigurationError: there is no such voice.
        """
        buffer = ctypes.create_string_buffer(text.encode("utf-8", "replace").partition(b"\0")[0])
        start = ctypes.addressof(buffer)
        rest = ctypes.c_void_p(start)
        mode = PHONEMES_IPA | (PHONEMES_TIE | ord(tie) << 8 if tie else 0)
        clauses = []
        with self._lock:
            self._set_voice(voice)
            begin: int | None = 0
            while begin is not None:
                sounds = self._lib.espeak_TextToPhonemes(ctypes.byref(rest), TEXT_UTF8, mode) or b""
                end = None if rest.value is None else rest.value - start
                taken = buffer.value[begin:end].decode("utf-8", "ignore")
                # Unless it was the last, the first character of the next clause has been read along.
                clauses.append((sounds.decode(), taken if end is None else taken[:-1]))
                begin = end
        return clauses

    def find_voice(self, name: str) -> str:
        """Return the identifier of the voice for a language code, in any case.

        Raises:
            ConfigurationError: there is no such voice; the message names the nearest.
        """
        wanted = name.lower().replace("_", "-")
        if wanted not in self.voices:
            near = difflib.get_close_matches(wanted, self.voices, n=3, cutoff=0.4)
            hint = f"; the nearest are {', '.join(near)}" if near else ""
            raise ConfigurationError(f"espeak-ng has no voice '{name}'{hint}")
        return self.voices[wanted]

    def _set_voice(self, voice: str) -> None:
        if self._lib.espeak_SetVoiceByName(voice.encode()) != 0:
            raise ConfigurationError(f"espeak-ng cannot load its voice '{voice}'; reinstall espeakng-loader")


@cache
def load_library() -> EspeakLibrary:
    """Return the library, loading it at the first call.

    Raises:
        MissingDependency: it is not installed; the message says how to get it.
    """
    try:
        import espeakng_loader
    except ImportError as error:
        raise MissingDependency("espeak-ng is not installed: pip install 'penstock[tts]'") from error
    library, data = espeakng_loader.get_library_path(), espeakng_loader.get_data_path()  # type: ignore[no-untyped-call]
    return EspeakLibrary(str(library), str(data))


def _declare(lib: ctypes.CDLL) -> ctypes.CDLL:
    lib.espeak_Initialize.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_int]
    lib.espeak_SetVoiceByName.argtypes = [ctypes.c_char_p]
    lib.espeak_SetParameter.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int]
    lib.espeak_SetSynthCallback.argtypes = [_Callback]
    lib.espeak_SetSynthCallback.restype = None
    position, identifier = [ctypes.c_uint, ctypes.c_int, ctypes.c_uint, ctypes.c_uint], ctypes.POINTER(ctypes.c_uint)
    lib.espeak_Synth.argtypes = [ctypes.c_char_p, ctypes.c_size_t, *position, identifier, ctypes.c_void_p]
    lib.espeak_TextToPhonemes.argtypes = [ctypes.POINTER(ctypes.c_void_p), ctypes.c_int, ctypes.c_int]
    lib.espeak_TextToPhonemes.restype = ctypes.c_char_p
    lib.espeak_ListVoices.argtypes = [ctypes.c_void_p]
    lib.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_Voice))
    return lib


def _list_voices(lib: ctypes.CDLL) -> dict[str, str]:
    best: dict[str, tuple[int, str]] = {}
    listed = lib.espeak_ListVoices(None)
    index = 0
    while listed[index]:
        voice = listed[index].contents
        identifier = voice.identifier.decode()
        for priority, language in _languages(voice.languages):
            if language not in best or priority < best[language][0]:
                best[language] = (priority, identifier)
        index += 1
    return {language: identifier for language, (_, identifier) in sorted(best.items())}


def _languages(address: int) -> list[tuple[int, str]]:
    languages = []
    while priority := ctypes.string_at(address, 1)[0]:
        code = ctypes.string_at(address + 1)
        languages.append((priority, code.decode().lower()))
        address += len(code) + 2
    return languages
