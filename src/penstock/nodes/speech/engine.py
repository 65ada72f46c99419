"""What a voice is, whatever speaks: text in, samples out.

An engine is synchronous and is called from worker threads, one call at a time; it may hold a process-wide lock while
it computes a piece, never between pieces.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["SpeechEngine"]


class SpeechEngine(Protocol):
    """A voice with its settings."""

    @property
    def sample_rate_hz(self) -> int:
        """Sample frames a second of everything it speaks."""
        ...

    def synth(self, text: str) -> Iterator[NDArray[Any]]:
        """Speak a text piece by piece, each a float32 array of shape ``(frames, 1)``, computed when it is asked for.

        A piece is at most about a minute. Text without anything to speak gives nothing.
        """
        ...

    def close(self) -> None:
        """Free what the voice holds."""
        ...
