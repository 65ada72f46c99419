"""libopus itself: one encoder, one decoder, without a framework between.

The library is the system's (``libopus.so.0``, which the distribution keeps safe and builds for its machines) or else
the one in PyAV's wheel; ``PENSTOCK_LIBOPUS`` names another. Calls release the GIL. An object belongs to one thread at a
time. Reference: the Opus API (opus.h, opus_defines.h), whose names the constants keep.
"""

from __future__ import annotations

import ctypes
import os
import sys
import weakref
from ctypes import POINTER, byref, c_char_p, c_int, c_int32, c_void_p
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from penstock.errors import BadData, MissingDependency
from penstock.media.opus import RATE_HZ

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from penstock.packets import Buffer

__all__ = ["APPLICATIONS", "OpusDecoder", "OpusEncoder", "library_version"]

LIBRARY_VARIABLE: Final = "PENSTOCK_LIBOPUS"
APPLICATIONS: Final = {"voip": 2048, "audio": 2049, "lowdelay": 2051}
MAX_PACKET_BYTES: Final = 3 * 1275 + 7  # three frames of 20 ms, the most that 60 ms take (RFC 6716 §3.2.5)

_ROOM: Final = 8 * 960  # samples for which a decoder makes room at a time

SET_BITRATE: Final = 4002
SET_VBR: Final = 4006
SET_COMPLEXITY: Final = 4010
SET_VBR_CONSTRAINT: Final = 4020
GET_LOOKAHEAD: Final = 4027
SET_GAIN: Final = 4034


class OpusEncoder:
    """An encoder of mono or stereo frames at 48 kHz.

    Attributes:
        lookahead: samples by which the decoded sound is late: the pre-skip of the stream.
    """

    def __init__(self, channels: int, application: str, *, bitrate: int, complexity: int, vbr: str) -> None:
        """Open an encoder.

        Args:
            channels: 1 or 2.
            application: one of ``APPLICATIONS``.
            bitrate: bits a second.
            complexity: 0 to 10.
            vbr: ``on``, ``constrained`` or ``off``.

        Raises:
            MissingDependency: there is no libopus.
        """
        self._library = _library()
        failure = c_int()
        self._state = self._library.opus_encoder_create(RATE_HZ, channels, APPLICATIONS[application], failure)
        _check(self._library, failure.value)
        weakref.finalize(self, self._library.opus_encoder_destroy, self._state)
        self._packet = ctypes.create_string_buffer(MAX_PACKET_BYTES)
        self._encode = self._library.opus_encode_float
        self.tune(bitrate=bitrate, complexity=complexity, vbr=vbr)
        lookahead = c_int32()
        _check(self._library, self._library.opus_encoder_ctl(self._state, GET_LOOKAHEAD, byref(lookahead)))
        self.lookahead = lookahead.value

    def tune(self, *, bitrate: int, complexity: int, vbr: str) -> None:
        """Set what may change from one frame to the next; arguments as in ``__init__``."""
        for request, value in (
            (SET_BITRATE, bitrate),
            (SET_COMPLEXITY, complexity),
            (SET_VBR, vbr != "off"),
            (SET_VBR_CONSTRAINT, vbr == "constrained"),
        ):
            _check(self._library, self._library.opus_encoder_ctl(self._state, request, c_int32(value)))

    def encode(self, pcm: int, samples: int) -> bytes:
        """Encode one frame of 2.5 to 60 ms.

        Args:
            pcm: the address of its float32 samples, interleaved; as numpy tells it of a C-contiguous array.
            samples: their number, of one channel.

        Raises:
            BadData: libopus refuses it.
        """
        packet = self._packet
        size = self._encode(self._state, pcm, samples, packet, MAX_PACKET_BYTES)
        if size < 0:
            _check(self._library, size)
        return packet[:size]  # type: ignore[return-value]  # a slice of a char array is bytes


class OpusDecoder:
    """A decoder to 48 kHz."""

    def __init__(self, channels: int, *, gain: int = 0) -> None:
        """Open a decoder.

        Args:
            channels: of the output, whatever the packets have.
            gain: what the output is amplified by, in dB in 1/256 steps.

        Raises:
            MissingDependency: there is no libopus.
        """
        self._library = _library()
        self._channels = channels
        failure = c_int()
        self._state = self._library.opus_decoder_create(RATE_HZ, channels, failure)
        _check(self._library, failure.value)
        weakref.finalize(self, self._library.opus_decoder_destroy, self._state)
        if gain:
            _check(self._library, self._library.opus_decoder_ctl(self._state, SET_GAIN, c_int32(gain)))
        self._decode = self._library.opus_decode_float
        self._room = np.empty((0, channels), np.float32)
        self._address = self._used = 0

    def decode(self, packet: Buffer, samples: int) -> NDArray[np.float32]:
        """Decode a packet to ``(samples, channels)``; one whose frames are empty is concealed.

        The arrays of packets that follow one another share memory, so one that is kept keeps 160 ms.

        Args:
            packet: the packet.
            samples: what ``packet_samples`` says of it.

        Raises:
            BadData: it is not an Opus packet.
        """
        start = self._used
        if start + samples > len(self._room):  # making room, and asking for its address, is dear: do it for several
            self._room = np.empty((max(_ROOM, samples), self._channels), np.float32)
            self._address = self._room.ctypes.data
            start = 0
        target = self._address + 4 * self._channels * start
        got = self._decode(self._state, bytes(packet), len(packet), target, samples, 0)
        if got < 0:
            _check(self._library, got)
        self._used = start + got
        return self._room[start : start + got]


def library_version() -> str:
    """Which libopus is used, such as ``libopus 1.6.1``."""
    return str(_library().opus_get_version_string().decode())


def _check(library: Any, result: int) -> None:
    if result < 0:
        raise BadData(f"libopus: {library.opus_strerror(result).decode()}")


@cache
def _library() -> Any:
    """Load libopus.

    Raises:
        MissingDependency: none is found, or the one that is named cannot be loaded.
    """
    for name in _candidates():
        try:
            library = ctypes.CDLL(name)
        except OSError as error:
            if name == os.environ.get(LIBRARY_VARIABLE):
                raise MissingDependency(f"{LIBRARY_VARIABLE} names {name}, which cannot be loaded: {error}") from error
            continue
        return _declare(library)
    raise MissingDependency(
        f"libopus is not found: install it (Debian: libopus0, Homebrew: opus), or name it by {LIBRARY_VARIABLE}"
    )


def _candidates() -> Iterator[str]:
    named = os.environ.get(LIBRARY_VARIABLE)
    if named:
        yield named
    yield "libopus.0.dylib" if sys.platform == "darwin" else "libopus.so.0"
    import av

    package = Path(av.__file__).parent
    for place in (package.with_name("av.libs"), package / ".dylibs"):
        yield from map(str, sorted(place.glob("libopus*")))


def _declare(library: ctypes.CDLL) -> ctypes.CDLL:
    """Give the functions their types. The ctl functions are variadic: their third argument stays undeclared."""
    for name, result, arguments in (
        ("opus_encoder_create", c_void_p, [c_int32, c_int, c_int, POINTER(c_int)]),
        ("opus_encoder_destroy", None, [c_void_p]),
        ("opus_encoder_ctl", c_int, [c_void_p, c_int]),
        ("opus_encode_float", c_int32, [c_void_p, c_void_p, c_int, c_char_p, c_int32]),
        ("opus_decoder_create", c_void_p, [c_int32, c_int, POINTER(c_int)]),
        ("opus_decoder_destroy", None, [c_void_p]),
        ("opus_decoder_ctl", c_int, [c_void_p, c_int]),
        ("opus_decode_float", c_int, [c_void_p, c_char_p, c_int32, c_void_p, c_int, c_int]),
        ("opus_strerror", c_char_p, [c_int]),
        ("opus_get_version_string", c_char_p, []),
    ):
        function = getattr(library, name)
        function.restype = result
        function.argtypes = arguments
    return library
