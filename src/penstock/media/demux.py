"""Containers that FFmpeg reads, from bytes that arrive in any pieces: ``feed(bytes) -> packets``.

FFmpeg asks for bytes when it wants them; here they come when they come. So it runs in a thread of its own, which is
awake only during ``feed`` and ``finish``: the caller hands over a piece and waits until FFmpeg asks for the next one.
The two take turns, nothing is queued, and memory is what FFmpeg holds. Calls may come from any thread, one at a time.

FFmpeg is told the format and never guesses it.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Final

import av

from penstock.errors import BadData
from penstock.media.packet_maker import PacketMaker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from penstock.packets import Buffer, EncodedAudio

__all__ = ["StreamDemuxer", "demux_file"]

_INPUT: Final = {"adts": "aac", "mp4": "mov", "webm": "matroska"}
_READ_BYTES: Final = 4096
_OPTIONS: Final = {"probesize": "32768", "analyzeduration": "0"}


class StreamDemuxer:
    """Bytes of one container in, packets of its first audio stream out.

    Attributes:
        received: bytes of the input so far.
    """

    def __init__(self, container: str, warn: Callable[[str], None], errored: Callable[[], None]) -> None:
        """Begin.

        Args:
            container: one of ``penstock.media.formats.FORMATS``.
            warn: is told what is left out, once each.
            errored: is told of each packet that cannot be used. Both may be called from another thread.
        """
        self.received = 0
        self._container = container
        self._maker = PacketMaker(container, warn, errored)
        self._out: list[EncodedAudio] = []
        self._failure: BaseException | None = None
        self._pieces: SimpleQueue[bytes] = SimpleQueue()  # an empty one is the end
        self._turns: SimpleQueue[bool] = SimpleQueue()  # whether FFmpeg wants more
        self._rest = b""
        self._wanting = False
        self._ending = False
        self._thread: threading.Thread | None = None

    def feed(self, data: Buffer) -> list[EncodedAudio]:
        """Take bytes; return the packets that they complete.

        Raises:
            BadData: FFmpeg refuses them, and what was sound before has been returned.
        """
        self._start()
        self.received += len(data)
        self._maker.see(data)
        if data and self._wanting:
            self._pieces.put(bytes(data))
            self._wanting = self._turns.get()
        return self._take()

    def finish(self) -> list[EncodedAudio]:
        """The input has ended: return the packets that remain.

        Raises:
            BadData: nothing could be made of it.
        """
        self._start()
        self._end()
        out = self._take()
        if self._failure is not None:
            raise self._failure
        return out

    def close(self) -> None:
        """Let FFmpeg go; may come at any time, also twice."""
        if self._thread is not None:
            self._end()
            self._thread.join()

    # -- on the caller's side -------------------------------------------------------------------------

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=f"demux-{self._container}", daemon=True)
            self._thread.start()
            self._wanting = self._turns.get()

    def _end(self) -> None:
        if self._wanting:
            self._pieces.put(b"")
            self._wanting = self._turns.get()

    def _take(self) -> list[EncodedAudio]:
        out, self._out = self._out, []
        if not out and self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        return out

    # -- on FFmpeg's side -----------------------------------------------------------------------------

    def read(self, size: int) -> bytes:
        """Called by FFmpeg: at most ``size`` bytes, nothing at the end."""
        if not self._rest and not self._ending:
            self._turns.put(True)
            self._rest = self._pieces.get()
            self._ending = not self._rest
        piece, self._rest = self._rest[:size], self._rest[size:]
        return piece

    def _run(self) -> None:
        try:
            for packet in _packets(self, self._container, self._maker):
                self._out.append(packet)
        except BadData as error:
            where = f"byte {self.received}" if not self._ending else f"its end at byte {self.received}"
            self._failure = BadData(f"{error} (the input was read up to {where})")
            self._failure.__cause__ = error.__cause__
        except Exception as error:  # noqa: BLE001 - it is raised in the caller's thread
            self._failure = error
        finally:
            self._turns.put(False)


def demux_file(
    path: Path, container: str, warn: Callable[[str], None], errored: Callable[[], None]
) -> Iterator[EncodedAudio]:
    """The packets of a file, read as they are asked for.

    Raises:
        BadData: FFmpeg refuses it.
    """
    yield from _packets(str(path), container, PacketMaker(container, warn, errored))


def _packets(source: Any, container: str, maker: PacketMaker) -> Iterator[EncodedAudio]:
    """Open a container and give its packets; FFmpeg's errors become ours."""
    try:
        with av.open(
            source,
            "r",
            format=_INPUT.get(container, container),
            buffer_size=_READ_BYTES,
            options=_OPTIONS,
            metadata_errors="replace",
        ) as opened:
            if not opened.streams.audio:
                raise BadData(f"the {container} input holds no audio stream")
            stream = opened.streams.audio[0]
            maker.open(stream, dict(opened.metadata))
            with suppress(IndexError):  # PyAV's, after the last packet, if streams appeared that the header had not
                for packet in opened.demux(stream):
                    if packet.size and packet.stream_index == stream.index:
                        yield from maker.make(packet)
            yield from maker.finish()
            if not maker.made:
                raise BadData(f"the {container} input holds no packet of audio that is sound")
    except (av.FFmpegError, EOFError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BadData(f"FFmpeg cannot read the input as {container}: {reason}") from error
