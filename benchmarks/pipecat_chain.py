"""The engine's chain in Pipecat: processors that hand frames on, between a task that queues them and a last one."""

from __future__ import annotations

import asyncio

from loguru import logger
from pipecat.frames.frames import EndFrame, Frame, OutputAudioRawFrame, StartFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.workers.runner import WorkerRunner

WINDOW = 256  # frames under way: Pipecat's own queues have no bound

logger.remove()


class Hop(FrameProcessor):
    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        await self.push_frame(frame, direction)


class Last(FrameProcessor):
    def __init__(self) -> None:
        super().__init__()
        self.started = asyncio.Event()
        self.count = 0

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, StartFrame):
            self.started.set()
        self.count += isinstance(frame, OutputAudioRawFrame)
        await self.push_frame(frame, direction)


async def run(packets: int, hops: int, size: int) -> None:
    last = Last()
    worker = PipelineWorker(
        Pipeline([*(Hop() for _ in range(hops)), last]),
        params=PipelineParams(),
        enable_rtvi=False,
        enable_turn_tracking=False,
        idle_timeout_secs=None,
        cancel_on_idle_timeout=False,
    )
    payload = bytes(size)

    async def feed() -> None:
        await last.started.wait()
        for index in range(packets):
            await worker.queue_frame(OutputAudioRawFrame(audio=payload, sample_rate=48000, num_channels=1))
            while index - last.count > WINDOW:
                await asyncio.sleep(0)
        await worker.queue_frame(EndFrame())

    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    await asyncio.gather(runner.run(), feed())
    assert last.count == packets
