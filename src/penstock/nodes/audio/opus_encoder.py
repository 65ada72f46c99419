"""Encode mono or stereo audio at 48 kHz to Opus.

Input frames may have any size: the encoder cuts its own. The stream's ``OpusHead`` carries the encoder's look-ahead as
pre-skip, and the last packet says how much of it is padding (``trim_end``), so that as many samples come out of a
decoder as went in here. A packet's timestamp is that of its first decoded sample: the first one starts ``pre_skip``
before the audio does. When the number of channels changes, the stream ends and a new one begins, with a new ``Codec``.
When parameters are tuned the same stream goes on with the next frame, to the sample; but not to or from ``lowdelay``,
whose look-ahead is another.
With ``threads`` the sound of a file is encoded on several cores: stretches of 10 s side by side, and what is tuned
holds for all of the stretch that is coming in.
Reference: RFC 6716 §2.1 for what the parameters mean.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Final, Literal

from pydantic import Field, field_validator

from penstock.errors import BadData, ConfigurationError
from penstock.media.clock import SampleClock
from penstock.media.opus import RATE_HZ, OpusHead
from penstock.nodes.base import TUNABLE, LenientConfig, Transform, node
from penstock.packets import Codec, EncodedAudio, replace
from penstock.pins import EncodedAudioType, InputPin, OutputPin, RawAudioType

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from penstock.media import libopus
    from penstock.media.opus_stretches import StretchEncoder
    from penstock.nodes.base import NodeContext
    from penstock.packets import Audio, Packet, PacketMeta

__all__ = ["OpusEncoder", "OpusEncoderConfig"]

_LAYOUTS: Final = {1: "mono", 2: "stereo"}
_MAX_BITRATE_PER_CHANNEL: Final = 256_000
_PRIMING: Final = 1_920
"""Samples that a new encoder hears before it goes on with a stream: 40 ms, with more the sound comes no nearer."""
_ROOM: Final = 8 * 2_880
"""Samples on their way to the encoder: some frames of the longest kind, little enough for the processor's cache."""


class OpusEncoderConfig(LenientConfig):
    """How the sound is coded."""

    bitrate: int = Field(64_000, ge=6_000, le=510_000, description="Bits a second.", json_schema_extra=TUNABLE)
    application: Literal["audio", "voip", "lowdelay"] = Field(
        "audio",
        description="What to favour: `audio` fidelity, `voip` speech, `lowdelay` the shortest look-ahead (2.5 ms).",
        json_schema_extra=TUNABLE,
    )
    complexity: int = Field(
        10,
        ge=0,
        le=10,
        description="Work spent on each frame; 5 costs about half of 10.",
        json_schema_extra=TUNABLE,
    )
    frame_duration_ms: float = Field(
        20,
        description="Length of a packet in milliseconds: 2.5, 5, 10, 20, 40 or 60.",
        json_schema_extra=TUNABLE,
    )
    vbr: Literal["constrained", "on", "off"] = Field(
        "constrained",
        description="`constrained` keeps near the bit rate, `on` lets it follow the sound, `off` makes it constant.",
        json_schema_extra=TUNABLE,
    )
    threads: int = Field(
        1,
        ge=1,
        le=64,
        description="Threads that encode. With 2 or more, stretches of 10 s are encoded side by side: for files, as "
        "packets come some stretches late. A seam is about as near to the input as any other frame.",
    )

    @field_validator("frame_duration_ms")
    @classmethod
    def _is_opus_duration(cls, value: float) -> float:
        if value not in {2.5, 5, 10, 20, 40, 60}:
            raise ValueError("must be 2.5, 5, 10, 20, 40 or 60")
        return value


@node(
    "audio::opus::encoder",
    inputs=[InputPin("in", (RawAudioType(RATE_HZ, 0),))],
    outputs=[OutputPin("out", EncodedAudioType("opus"))],
    example={"bitrate": 64_000},
)
class OpusEncoder(Transform[OpusEncoderConfig]):
    """Audio in, Opus packets out."""

    def __init__(self, config: OpusEncoderConfig) -> None:
        super().__init__(config)
        self.offload = config.threads > 1
        self._stretches: StretchEncoder | None = None

    def prepare(self, ctx: NodeContext) -> None:
        """Load libopus.

        Raises:
            MissingDependency: there is none.
        """
        import numpy as np

        from penstock.media import libopus
        from penstock.media.tape import Tape

        libopus.library_version()
        self._ctx = ctx
        self._libopus = libopus
        self._numpy = np
        self._new_tape = Tape
        self._clock = SampleClock(RATE_HZ)
        self._too_much = 0  # the bit rate that was warned of
        self._frame = _frame_of(self.config)
        self._encoder: libopus.OpusEncoder | None = None
        self._channels = 0
        self._end = 0  # position at which the audio taken in so far ends
        self._position = 0  # position of the next packet's first sample
        self._sequence = 0
        self._metas: deque[PacketMeta] = deque()  # of the packets that are being coded

    def check_tune(self, config: OpusEncoderConfig) -> None:
        """See that the look-ahead stays what the stream's header says.

        Raises:
            ConfigurationError: it would not.
        """
        now, then = self.config.application, config.application
        if self._encoder is not None and now != then and "lowdelay" in (now, then):
            raise ConfigurationError(
                f"application: a stream that is under way cannot go from '{now}' to '{then}', "
                "as 'lowdelay' has another look-ahead; 'audio' and 'voip' can take turns"
            )

    def tune(self, config: OpusEncoderConfig) -> None:
        """Encode with other settings from the next frame on."""
        before, self.config = self.config, config
        self._frame = _frame_of(config)
        if self._encoder is None:
            return
        if config.application == before.application:
            self._encoder.tune(bitrate=self._bitrate(self._channels), complexity=config.complexity, vbr=config.vbr)
        else:
            self._encoder = self._new_encoder(self._channels)
            self._encoder.encode(self._tape.behind(_PRIMING), _PRIMING)  # so that it knows what the decoder has heard

    def process(self, packet: Audio, /) -> list[Packet]:
        if packet.sample_rate_hz != RATE_HZ:
            raise BadData(
                f"the Opus encoder takes audio at {RATE_HZ} Hz and was given {packet.sample_rate_hz} Hz: "
                f"put an audio::resampler with target_sample_rate {RATE_HZ} before it"
            )
        out: list[Packet] = []
        frames, channels = packet.samples.shape
        if not frames:
            return out
        if channels != self._channels:
            out += self.finish()
            self._open(channels)
        self._clock.follow(packet.meta.timestamp_us, self._end)
        self._end += frames
        self._encode(packet.samples, out)
        return out

    def finish(self) -> list[Packet]:
        """End the stream: the sound still inside the encoder is pushed out by padding, which the last packet tells."""
        if self._encoder is None:
            return []
        out: list[Packet] = []
        left = self._end - self._position  # to be coded: what is held, and the look-ahead
        padding = -left % self._frame
        silence = left - self._tape.held + padding
        self._encode(self._numpy.zeros((silence, self._channels), self._numpy.float32), out)
        if self._stretches is not None:
            self._send(self._stretches.finish(), out)
        if padding and out:
            last = out[-1]
            assert isinstance(last, EncodedAudio)  # noqa: S101 - for the type checker
            out[-1] = replace(last, trim_end=padding)
        self.close()
        self._channels = 0
        return out

    def close(self) -> None:
        self._encoder = None
        if self._stretches is not None:
            self._stretches.close()
            self._stretches = None

    # -- inside ---------------------------------------------------------------------------------------

    def _open(self, channels: int) -> None:
        """Begin a stream where the last one ended."""
        if channels not in _LAYOUTS:
            raise BadData(
                f"the Opus encoder takes mono or stereo and was given {channels} channels: mix them down first"
            )
        self._encoder = self._new_encoder(channels)
        if self.config.threads > 1:
            from penstock.media.opus_stretches import StretchEncoder

            self._stretches = StretchEncoder(partial(self._new_encoder, channels), channels, self.config.threads)
        self._tape = self._new_tape(channels, _ROOM, keep=_PRIMING)
        self._channels = channels
        head = OpusHead(channels, self._encoder.lookahead)
        self._codec = Codec("opus", RATE_HZ, channels, head.build())
        self._position = self._end - head.pre_skip

    def _new_encoder(self, channels: int) -> libopus.OpusEncoder:
        config = self.config
        return self._libopus.OpusEncoder(
            channels,
            config.application,
            bitrate=self._bitrate(channels),
            complexity=config.complexity,
            vbr=config.vbr,
        )

    def _bitrate(self, channels: int) -> int:
        wanted = self.config.bitrate
        bitrate = min(wanted, _MAX_BITRATE_PER_CHANNEL * channels)
        if bitrate < wanted != self._too_much:
            self._too_much = wanted
            self._ctx.warn(f"bitrate {wanted} is more than Opus has for {_LAYOUTS[channels]}; {bitrate} is used")
        return bitrate

    def _encode(self, samples: NDArray[np.float32], out: list[Packet]) -> None:
        """Encode the whole frames in what is held and ``samples``; hold the rest."""
        assert self._encoder is not None  # noqa: S101 - for the type checker
        tape, size, meta = self._tape, self._frame, self._clock.meta
        taken, whole = 0, len(samples)
        while taken < whole:
            taken += tape.write(samples[taken:] if taken else samples)
            while tape.held >= size:
                told = meta(self._position, size, self._sequence)
                self._position += size
                self._sequence += 1
                if self._stretches is None:
                    out.append(EncodedAudio(self._encoder.encode(tape.read(size), size), self._codec, told))
                else:
                    self._metas.append(told)
                    self._send(self._stretches.encode(tape.read(size), size), out)

    def _send(self, coded: list[bytes], out: list[Packet]) -> None:
        """Append packets that were late."""
        out += [EncodedAudio(data, self._codec, self._metas.popleft()) for data in coded]


def _frame_of(config: OpusEncoderConfig) -> int:
    """Samples of a packet."""
    return round(config.frame_duration_ms * RATE_HZ / 1000)
