"""Memory of ten hours of media in one stream: flat, whatever its length.

    python benchmarks/media/memory.py [--hours 10] [--chains NAME,NAME]

The stream is made as fast as it is taken and goes through the engine; resident memory is read ten times a second. The
table has the most of each tenth of the stream, a process for each chain. Exit status 1 if the last tenth has more than
4 MiB over the most of the second: the first holds what is loaded and made once.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import threading
import time
from pathlib import Path

from sources import Stream, bench_registry

from penstock.engine.load import check_text
from penstock.engine.run import run_graph

SAMPLE_S = 0.1
ALLOWANCE_MIB = 4
PACKETS_AN_HOUR = 180_000
CHAINS = {
    "Ogg to MP4 stream": """\
nodes:
  source: {kind: 'bench::stream', params: {form: ogg, packets: PACKETS}}
  demux: {kind: 'containers::ogg::demuxer', needs: source}
  mux: {kind: 'containers::mp4::muxer', needs: demux}
  end: {kind: 'core::sink', needs: mux}
""",
    "Ogg to Ogg by way of samples": """\
nodes:
  source: {kind: 'bench::stream', params: {form: ogg, packets: PACKETS}}
  demux: {kind: 'containers::ogg::demuxer', needs: source}
  decode: {kind: 'audio::opus::decoder', needs: demux}
  gain: {kind: 'audio::gain', params: {gain: 0.7}, needs: decode}
  encode: {kind: 'audio::opus::encoder', params: {complexity: 0}, needs: gain}
  mux: {kind: 'containers::ogg::muxer', needs: encode}
  end: {kind: 'core::sink', needs: mux}
""",
    "WAV to FLAC": """\
nodes:
  source: {kind: 'bench::stream', params: {form: wav, packets: PACKETS}}
  demux: {kind: 'containers::wav::demuxer', needs: source}
  encode: {kind: 'audio::encoder', params: {codec: flac}, needs: demux}
  mux: {kind: 'containers::muxer', params: {format: flac}, needs: encode}
  end: {kind: 'core::sink', needs: mux}
""",
    "mixer of two WAV": """\
nodes:
  one: {kind: 'bench::stream', params: {form: wav, packets: PACKETS}}
  two: {kind: 'bench::stream', params: {form: wav, packets: PACKETS}}
  left: {kind: 'containers::wav::demuxer', needs: one}
  right: {kind: 'containers::wav::demuxer', needs: two}
  mix: {kind: 'audio::mixer', params: {sync_timeout_ms: null}, needs: [left, right]}
  end: {kind: 'core::sink', needs: mix}
""",
}


def resident_mib() -> float:
    """Of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / (1 << 20)


def measure(name: str, hours: float) -> bool:
    """Run one chain in this process; print its row and return whether memory stayed flat."""
    packets = round(hours * PACKETS_AN_HOUR)
    graph, _ = check_text(CHAINS[name].replace("PACKETS", str(packets)), registry=bench_registry())
    tenths = [0.0] * 10
    over = threading.Event()

    def watch() -> None:
        while not over.wait(SAMPLE_S):
            tenth = min(9, int(10 * Stream.media_s / (packets * 0.02)))
            tenths[tenth] = max(tenths[tenth], resident_mib())

    watcher = threading.Thread(target=watch)
    watcher.start()
    started = time.perf_counter()
    try:
        asyncio.run(run_graph(graph)).raise_for_outcome()
    finally:
        over.set()
        watcher.join()
    seconds = time.perf_counter() - started
    cells = " | ".join(f"{mib:.0f}" for mib in tenths)
    print(f"| {name} | {cells} | {hours * 3600 / seconds:.0f} |", flush=True)
    return tenths[9] - tenths[1] <= ALLOWANCE_MIB


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=10)
    parser.add_argument("--chains", default=",".join(CHAINS))
    parser.add_argument("--one", help="do one chain in this process")
    options = parser.parse_args()
    if options.one:
        sys.exit(not measure(options.one, options.hours))
    print(f"MiB resident, {options.hours:g} h of media, the most of each tenth\n")
    print("| | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 | 10 | x real time |\n|" + "---|" * 12)
    sys.stdout.flush()
    flat = True
    for name in options.chains.split(","):
        command = [sys.executable, __file__, "--one", name, "--hours", str(options.hours)]
        flat &= subprocess.run(command, check=False).returncode == 0
    sys.exit(not flat)


if __name__ == "__main__":
    main()
