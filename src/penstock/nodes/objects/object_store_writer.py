"""Write a stream of Binary packets into an object, part by part, or into one object after the other.

The object appears, whole, when the input has ended cleanly; until then nothing is visible under its key. ``rotate``
ends it earlier and begins another; so do the largest size that the store or ``memory_limit`` allows, and the age up to
which the store keeps what is unfinished. If the input fails or the run is cut short, what was sent is dropped, or kept
and marked, as ``on_error`` says. With ``passthrough`` every packet is sent on at once, but the output ends only after
the commit and fails with it: who reads to the clean end knows that the object is stored.
Reference: Amazon S3 User Guide, "Uploading and copying objects using multipart upload".
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import anyio

from penstock.errors import (
    BadData,
    ChannelClosed,
    RunCancelled,
    StoreError,
    UpstreamFailed,
    describe,
)
from penstock.nodes.base import Node, node
from penstock.nodes.objects.config import ObjectStoreWriterConfig
from penstock.nodes.objects.opening import check_store, name_objects, open_store, upload_options
from penstock.nodes.objects.rotation import Cut, Intake, Rotation
from penstock.packets import Binary
from penstock.pins import BINARY, PASSTHROUGH, InputPin, OutputPin
from penstock.telemetry import (
    OBJECT_COMMITTED,
    OBJECT_CONTINUED,
    OBJECT_RESUMED,
    OBJECT_RETRYING,
    PART_COMPLETE,
    context,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from penstock.nodes.base import NodeContext
    from penstock.nodes.objects.key_series import KeySeries
    from penstock.nodes.types import Table
    from penstock.packets import Buffer, Packet
    from penstock.stores.base import MultipartStore
    from penstock.stores.durable import Spool
    from penstock.stores.multipart import UploadOptions, UploadWriter

__all__ = ["ObjectStoreWriter"]

RESCUE_TIMEOUT_S: Final = 10.0
PROGRESS_INTERVAL_S: Final = 2.0


@node(
    "core::object_store_writer",
    inputs=[InputPin("in", (BINARY,))],
    example={"endpoint": "memory://", "bucket": "takes", "key": "take-1.ogg", "content_type": "audio/ogg"},
)
class ObjectStoreWriter(Node[ObjectStoreWriterConfig]):
    """Stream Binary packets into an object of S3 and its kin, Google Cloud Storage, Azure, a directory or memory."""

    _store: MultipartStore | None = None
    _keys: KeySeries
    _capacity_bytes: int

    progress_interval_s = PROGRESS_INTERVAL_S
    """How often stored parts are reported, at most."""

    @classmethod
    def pins(cls, config: ObjectStoreWriterConfig) -> tuple[Sequence[InputPin], Sequence[OutputPin]]:
        return cls.inputs, (OutputPin("out", PASSTHROUGH),) if config.passthrough else ()

    @classmethod
    def tables(cls) -> Sequence[Table]:
        from penstock.nodes.objects.store_table import store_tables

        return store_tables()

    async def prepare(self, ctx: NodeContext) -> None:
        """Open the store and see that the bucket is there and lets us in.

        Raises:
            CredentialsError: credentials are missing or incomplete.
            ConfigurationError: the store does not take parts of ``chunk_size``, or the key.
            NotFound: no such bucket.
            PermissionDenied: the credentials are wrong or do not reach it.
            StoreUnavailable: nothing answers.
        """
        self._keys = name_objects(self.config, ctx.run.run_id, ctx.run.attributes)
        self._store = self.open_store()
        self._capacity_bytes = await check_store(self._store, self.config)

    def open_store(self) -> MultipartStore:
        """Open the store that the parameters name; nothing is sent yet."""
        return open_store(self.config)

    async def run(self, ctx: NodeContext) -> None:
        """Write until the input ends, then commit; one object after the other where they rotate.

        Raises:
            StoreError: an object could not be stored; nothing is left of it. Earlier ones stay.
            UpstreamFailed: the input failed; what was received is dropped or committed, marked, as ``on_error`` says.
            BadData: a packet is not Binary.
        """
        if self._store is None:
            raise RuntimeError("run was called before prepare")
        forward = _Forward(ctx) if self.config.passthrough else None
        intake = Intake(ctx.input(), Rotation(self.config.rotate, self._capacity_bytes), ctx.warn)
        with context(node=ctx.node_id):
            if not (self.config.resume and await self._go_on(ctx, intake, forward)):
                await self._begin_object(ctx, await intake.begin(), intake, forward)  # one without a packet is empty
            while not intake.ended and (packets := await intake.begin()):
                await self._begin_object(ctx, packets, intake, forward)

    async def _go_on(self, ctx: NodeContext, intake: Intake, forward: _Forward | None) -> bool:
        """Write on, to its end, the object that was interrupted; False if there is none.

        What it goes on from is reported before anything is read.
        """
        from penstock.nodes.objects.journaling import find_upload

        spool = await find_upload(self.config)
        if spool is None:
            assert self._store is not None  # noqa: S101 - run has seen to it
            key = self.config.location().key
            ctx.report(OBJECT_RESUMED, url=f"{self._store.url}/{key}", key=key, offset=0, found=False)
            return False
        await self._write_object(ctx, spool.record.key, spool.record.options, intake, forward, spool=spool)
        return True

    async def _begin_object(
        self, ctx: NodeContext, packets: Sequence[Packet], intake: Intake, forward: _Forward | None
    ) -> None:
        content_type = self.config.content_type or _content_type(packets)
        key = self._next_key(ctx, content_type, intake.continues)
        await self._write_object(ctx, key, upload_options(self.config, content_type), intake, forward)

    async def _write_object(
        self,
        ctx: NodeContext,
        key: str,
        options: UploadOptions,
        intake: Intake,
        forward: _Forward | None,
        *,
        spool: Spool | None = None,
    ) -> None:
        from penstock.nodes.objects.journaling import begin_upload

        assert self._store is not None  # noqa: S101 - run has seen to it
        report = _reporter(ctx, self.progress_interval_s)
        async with begin_upload(self.config, self._store, key, options, spool=spool, on_event=report) as upload:
            intake.age = upload.age
            if spool is not None:
                intake.go_on(upload.size)
            received = False
            try:
                while packets := await intake.receive():
                    if forward is not None:
                        await forward(packets)
                    await upload.write_many(_payloads(packets))
                received = True
                stopped = intake.ended and ctx.stopping.is_set()
                if stopped and self.config.on_cancel == "keep" and upload.size:
                    await upload.keep("the run was stopped", to_resume=True)
                    if forward is not None:
                        ctx.output().fail(RunCancelled(f"the run was stopped, and '{upload.key}' kept to be resumed"))
                elif stopped and (self.config.on_cancel == "abort" or not upload.size):
                    await upload.abort()
                    if forward is not None:
                        why = "as on_cancel says: abort" if upload.size else "because nothing had come"
                        ctx.output().fail(RunCancelled(f"the run was stopped, and '{upload.key}' dropped, {why}"))
                else:
                    await upload.commit()
            except (UpstreamFailed, anyio.get_cancelled_exc_class()) as error:
                await self._rescue(upload, error, received=received)
                raise

    def _next_key(self, ctx: NodeContext, content_type: str | None, continues: Cut | None) -> str:
        if continues is None:
            return self._keys.next(content_type)
        key = self._keys.continuation()
        assert self._store is not None  # noqa: S101 - run has seen to it
        expiry_s = self._store.capability.upload_expiry_s
        limit = {"limit": self._capacity_bytes} if continues is Cut.LIMIT else {"limit_s": expiry_s}
        ctx.report(OBJECT_CONTINUED, key=key, continues=self._keys.latest, **limit)
        return key

    async def close(self) -> None:
        """Close the connections to the store."""
        if self._store is not None:
            await self._store.aclose()

    async def _rescue(self, upload: UploadWriter, error: BaseException, *, received: bool) -> None:
        """Commit what was received, within seconds, if ``on_error`` says so and the store has not failed."""
        from penstock.stores.multipart.shelter import shelter

        if self.config.on_error != "commit" or upload.settled or upload.failures.first is not None:
            return

        async def commit() -> None:
            with anyio.fail_after(RESCUE_TIMEOUT_S):
                await upload.commit(incomplete=not received)

        try:
            await shelter(commit(), grace_s=RESCUE_TIMEOUT_S)
        except (StoreError, TimeoutError) as failure:
            error.add_note(f"what was received could not be committed: {describe(failure)}")
        except anyio.get_cancelled_exc_class():
            pass  # the caller raises it again, or the failure of the input that came before it


class _Forward:
    """Sends packets on until nobody takes them any more; the object is written on all the same."""

    def __init__(self, ctx: NodeContext) -> None:
        self._ctx = ctx
        self._open = True

    async def __call__(self, packets: Sequence[Packet]) -> None:
        if self._open:
            try:
                await self._ctx.output().send_many(packets)
            except ChannelClosed:
                self._open = False
                self._ctx.warn("nobody reads `out` any more; the object is still being written")


def _content_type(packets: Sequence[Packet]) -> str | None:
    return next((getattr(packet, "content_type", None) for packet in packets), None)


def _payloads(packets: Sequence[Packet]) -> list[Buffer]:
    if {*map(type, packets)} != {Binary}:
        other = next(type(packet).__name__ for packet in packets if not isinstance(packet, Binary))
        raise BadData(f"an object is made of Binary packets, but a packet of type {other} came")
    return [packet.data for packet in packets]  # type: ignore[union-attr]


def _reporter(ctx: NodeContext, interval_s: float) -> Callable[[str, dict[str, Any]], None]:
    """Report events of the upload; those of parts every few seconds at most.

    While requests have to be tried again the node is Recovering, until the store has taken something.
    """
    next_part = 0.0
    away = False

    def report(event: str, fields: dict[str, Any]) -> None:
        nonlocal next_part, away
        if event == OBJECT_RETRYING:
            away = True
            ctx.recovering(fields["reason"])
        elif away and event in (PART_COMPLETE, OBJECT_COMMITTED):
            away = False
            ctx.running()
        if event == PART_COMPLETE:
            now = time.monotonic()
            if now < next_part:
                return
            next_part = now + interval_s
        ctx.report(event, **fields)

    return report
