"""Loudness and true peak of audio, measured as it passes.

Reference: ITU-R BS.1770-5 (K-weighting, gating, true peak) and EBU Tech 3341 (momentary, short-term, integrated).
The weighting filter is the standard's pair of biquads, redesigned for the sample rate, and applied as a convolution
with their joint impulse response, cut after 100 ms, when it has decayed by more than 200 dB. Memory does not grow with
the programme: the gated blocks are counted in bins of 0.01 LU, each with its exact energy. Imports numpy and soxr.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Final

import numpy as np
import soxr

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LoudnessMeter", "TruePeakMeter", "k_weighting", "lufs"]

HOPS_A_SECOND: Final = 10
MOMENTARY_HOPS: Final = 4
SHORT_TERM_HOPS: Final = 30
ABSOLUTE_GATE_LUFS: Final = -70.0
RELATIVE_GATE_LU: Final = -10.0
BINS_A_LU: Final = 100
LOUDEST_LUFS: Final = 30.0
SURROUND: Final = 1.41
WEIGHTS: Final = {5: (1, 1, 1, SURROUND, SURROUND), 6: (1, 1, 1, 0, SURROUND, SURROUND)}
"""Weights of the channels of 5.0 and 5.1 (the low-frequency channel does not count); of others, each has 1."""


def lufs(energy: float) -> float:
    """Weighted mean square to LUFS; minus infinity for none."""
    return -0.691 + 10 * math.log10(energy) if energy > 0 else -math.inf


def _high_shelf(rate: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The first stage: the acoustic effect of the head, about 4 dB above 1.7 kHz."""
    tangent = math.tan(math.pi * 1681.974450955533 / rate)
    quality, high = 0.7071752369554196, 10 ** (3.999843853973347 / 20)
    band = high**0.4996667741545416
    scale = 1 + tangent / quality + tangent**2
    numerator = [high + band * tangent / quality + tangent**2, 2 * (tangent**2 - high)]
    numerator.append(high - band * tangent / quality + tangent**2)
    denominator = [scale, 2 * (tangent**2 - 1), 1 - tangent / quality + tangent**2]
    return np.array(numerator) / scale, np.array(denominator) / scale


def _high_pass(rate: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The second stage: the ear's lesser sense of low frequencies, 12 dB an octave below 38 Hz."""
    tangent, quality = math.tan(math.pi * 38.13547087602444 / rate), 0.5003270373238773
    scale = 1 + tangent / quality + tangent**2
    denominator = [scale, 2 * (tangent**2 - 1), 1 - tangent / quality + tangent**2]
    return np.array([1.0, -2.0, 1.0]), np.array(denominator) / scale


def k_weighting(rate: int, length: int) -> NDArray[np.float64]:
    """The first ``length`` samples of the impulse response of the K-weighting filter at a sample rate."""
    response = np.zeros(length)
    response[0] = 1.0
    for numerator, denominator in (_high_shelf(rate), _high_pass(rate)):
        response = np.convolve(response, numerator)[:length]
        _recurse(response, denominator)
    return response


def _recurse(signal: NDArray[np.float64], denominator: NDArray[np.float64]) -> None:
    """Apply the recursive part of a biquad in place."""
    a1, a2 = float(denominator[1]), float(denominator[2])
    before, last = 0.0, 0.0
    for index, value in enumerate(signal.tolist()):
        before, last = last, value - a1 * last - a2 * before
        signal[index] = last


class _Convolution:
    """Overlap-add of blocks of one size with an impulse response of the same size."""

    def __init__(self, response: NDArray[np.float64], channels: int) -> None:
        self._block = len(response)
        self._spectrum = np.fft.rfft(response, 2 * self._block)
        self._tail = np.zeros((channels, self._block))

    def apply(self, block: NDArray[np.float32]) -> NDArray[np.float64]:
        """Filter a block of shape ``(channels, frames)``."""
        size = 2 * self._block
        full = np.fft.irfft(np.fft.rfft(block, size) * self._spectrum, size)
        now = full[:, : self._block] + self._tail
        self._tail = full[:, self._block :]
        return now


class LoudnessMeter:
    """Momentary, short-term and integrated loudness in LUFS, minus infinity where there is nothing to measure yet.

    ``feed`` takes samples of one rate and channel count; ``restart`` goes on with others.
    """

    def __init__(self) -> None:
        self._hops: deque[float] = deque(maxlen=SHORT_TERM_HOPS)
        self._counts = np.zeros(round((LOUDEST_LUFS - ABSOLUTE_GATE_LUFS) * BINS_A_LU), np.int64)
        self._energies = np.zeros(len(self._counts))

    def restart(self, rate: int, channels: int) -> None:
        """Take samples of another format from now on; an unfinished hop of 100 ms is left out."""
        self._hop = max(1, rate // HOPS_A_SECOND)
        self._weights = np.array(WEIGHTS.get(channels, (1,) * channels), np.float64)
        self._filter = _Convolution(k_weighting(rate, self._hop), channels)
        self._held = np.zeros((0, channels), np.float32)

    def feed(self, samples: NDArray[np.float32]) -> None:
        """Measure samples of shape ``(frames, channels)``."""
        samples = np.concatenate([self._held, samples])
        whole = len(samples) - len(samples) % self._hop
        for start in range(0, whole, self._hop):
            weighted = self._filter.apply(np.ascontiguousarray(samples[start : start + self._hop].T))
            energies = np.einsum("ij,ij->i", weighted, weighted) / self._hop
            self._hops.append(float(energies @ self._weights))
            if len(self._hops) >= MOMENTARY_HOPS:
                self._gate(self._mean(MOMENTARY_HOPS))
        self._held = samples[whole:]

    @property
    def momentary(self) -> float:
        """Of the last 400 ms."""
        return lufs(self._mean(MOMENTARY_HOPS))

    @property
    def short_term(self) -> float:
        """Of the last 3 s."""
        return lufs(self._mean(SHORT_TERM_HOPS))

    @property
    def integrated(self) -> float:
        """Of the programme so far, quiet passages left out by the two gates."""
        total = int(self._counts.sum())
        if not total:
            return -math.inf
        gate = lufs(float(self._energies.sum()) / total) + RELATIVE_GATE_LU
        first = max(0, math.ceil((gate - ABSOLUTE_GATE_LUFS) * BINS_A_LU))
        counted = int(self._counts[first:].sum())
        return lufs(float(self._energies[first:].sum()) / counted) if counted else -math.inf

    def _mean(self, hops: int) -> float:
        if len(self._hops) < hops:
            return 0.0
        return sum(list(self._hops)[-hops:]) / hops

    def _gate(self, energy: float) -> None:
        """Count a block of 400 ms, unless it is below the absolute gate."""
        loudness = lufs(energy)
        if loudness > ABSOLUTE_GATE_LUFS:
            index = min(len(self._counts) - 1, int((loudness - ABSOLUTE_GATE_LUFS) * BINS_A_LU))
            self._counts[index] += 1
            self._energies[index] += energy


class TruePeakMeter:
    """The highest level between the samples too: that of the signal at four times the rate, or at least 192 kHz."""

    def __init__(self) -> None:
        self._peak = 0.0
        self._stream: soxr.ResampleStream | None = None

    def restart(self, rate: int, channels: int) -> None:
        """Take samples of another format from now on."""
        self.finish()
        factor = 4 if rate < 96_000 else 2 if rate < 192_000 else 1
        self._stream = soxr.ResampleStream(rate, factor * rate, channels, "float32", "HQ") if factor > 1 else None
        self._channels = channels

    def feed(self, samples: NDArray[np.float32]) -> None:
        """Measure samples of shape ``(frames, channels)``."""
        self._see(samples)
        if self._stream is not None:
            self._see(self._stream.resample_chunk(np.ascontiguousarray(samples, np.float32)))

    def finish(self) -> None:
        """Measure what is still in the filter."""
        if self._stream is not None:
            self._see(self._stream.resample_chunk(np.zeros((0, self._channels), np.float32), last=True))
            self._stream = None

    @property
    def peak(self) -> float:
        """In dBTP; minus infinity for silence."""
        return 20 * math.log10(self._peak) if self._peak > 0 else -math.inf

    def _see(self, samples: NDArray[np.float32]) -> None:
        if len(samples):
            self._peak = max(self._peak, float(np.abs(samples).max()))
