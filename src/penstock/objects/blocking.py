"""An object that is written by a program without an event loop: ``open_object_sync``, a file of the ``with`` statement.

The upload lives on an event loop in a daemon thread, one for the process, started when it is first needed. Nothing
but the clean end of the ``with`` commits: ``close`` only stops writing, since wrappers such as ``io.TextIOWrapper``
close what they wrap when they are garbage-collected, after an exception too. At the exit of the interpreter uploads
that are still open are aborted.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures.thread  # noqa: F401 - registers its own exit, which has to come after that of our loop
import io
import os
import threading
import weakref
from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import anyio
from anyio.from_thread import BlockingPortal

from penstock.errors import PenstockError, describe
from penstock.objects.session import open_object

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from anyio.abc import TaskStatus

    from penstock.stores.multipart import UploadResult, UploadWriter

__all__ = ["ObjectFile", "open_object_sync"]

GROUP_BYTES: Final = 256 << 10
"""Small writes cross over to the loop's thread together, this many bytes at a time."""


class open_object_sync:  # noqa: N801 - called like open()
    """The synchronous face of ``open_object``: ``with open_object_sync(url, …) as out: out.write(data)``.

    Takes what ``open_object`` takes. The object appears when the block is left cleanly; an exception in it, a garbage
    collection or the exit of the interpreter leave neither an object nor an open upload. To be used once, by one
    thread at a time.

    Raises:
        ConfigurationError: an argument is wrong, or credentials are missing (``CredentialsError``).
        StoreError: the store cannot be reached, refuses, or fails.
    """

    def __init__(self, url: str, **parameters: Any) -> None:
        self._session = _Session(url, parameters)
        self._file: ObjectFile | None = None

    def __enter__(self) -> ObjectFile:
        self._session.start()
        weakref.finalize(self, self._session.abandon).atexit = False  # the portal sees to the exit
        self._file = ObjectFile(self._session)
        return self._file

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        file = self._file
        if file is None:
            raise RuntimeError("the block was left before it was entered")
        try:
            if error is None:
                file.send()
        except BaseException as failure:
            self._session.leave(failure)
            raise
        finally:
            file.close()
        self._session.leave(error)


class ObjectFile(io.BufferedIOBase):
    """The open end of an object, as a file that can only be written."""

    def __init__(self, session: _Session) -> None:
        self._session = session
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._size = 0
        self._closed = False

    @property
    def name(self) -> str:
        """Store and key, for people."""
        return self._session.writer.url

    @property
    def result(self) -> UploadResult | None:
        """The committed object, once the block is left."""
        return self._session.writer.result

    def write(self, data: Any, /) -> int:
        """Accept bytes and return their number; waits while the memory limit is reached.

        Raises:
            StoreError: the upload has failed.
            ValueError: the file is closed.
        """
        if self._closed:
            raise ValueError("write to a closed file")
        piece = data if type(data) is bytes else memoryview(data).tobytes()  # the caller may reuse a mutable buffer
        self._pending.append(piece)
        self._pending_bytes += len(piece)
        self._size += len(piece)
        if self._pending_bytes >= GROUP_BYTES:
            self.send()
        return len(piece)

    def send(self) -> None:
        """Hand what is pending to the upload."""
        pending, self._pending, self._pending_bytes = self._pending, [], 0
        if pending:
            self._session.write(pending)

    def flush(self) -> None:
        """Hand what is pending to the upload. It is visible, and durable, only after the block."""
        if not self._closed:
            self.send()

    def tell(self) -> int:
        return self._size

    def writable(self) -> bool:
        return True

    def close(self) -> None:
        """Stop writing. The upload ends with the ``with`` block, whose outcome decides whether it is committed."""
        self._closed = True

    @property
    def closed(self) -> bool:
        return self._closed

    def __repr__(self) -> str:
        return f"<ObjectFile {self.name} {self._size} bytes{' closed' if self._closed else ''}>"


class _BlockFailedError(PenstockError):
    """Tells the upload why the block was left; never seen by the caller."""


class _Session:
    """One upload in the portal's loop, and the calls that reach it from the caller's thread."""

    writer: UploadWriter

    def __init__(self, url: str, parameters: dict[str, Any]) -> None:
        self._url = url
        self._parameters = parameters
        self._error: BaseException | None = None
        self._cut_off = False

    # -- in the caller's thread -----------------------------------------------------------------------

    def start(self) -> None:
        self._portal = _portal()
        self._ended, self.writer = self._portal.start_task(self._hold)

    def write(self, buffers: list[bytes]) -> None:
        try:
            self._portal.call(self._write, buffers)
        except BaseException:
            self._cut_off = True  # how much arrived is not known: a KeyboardInterrupt comes at any time
            raise

    def leave(self, error: BaseException | None) -> None:
        """End the upload and wait for it; raises its failure, unless that is just the echo of ``error``."""
        if error is None and self._cut_off:
            error = PenstockError(f"'{self.writer.key}' was not committed: a write to it was interrupted")
            self._end(error)
            raise error
        self._end(error)
        if error is None and self.writer.result is None:
            raise PenstockError(f"'{self.writer.key}' was not committed: the upload was cancelled")

    def _end(self, error: BaseException | None) -> None:
        self._portal.start_task_soon(self._leave, error)
        try:
            self._ended.result()
        except _BlockFailedError as echo:
            for note in getattr(echo, "__notes__", ()):
                if error is not None:
                    error.add_note(note)
        except PenstockError as failure:
            if failure is not error:
                raise
        except KeyboardInterrupt:
            self.abandon()
            with suppress(BaseException):
                self._ended.result()
            raise

    def abandon(self) -> None:
        """Cancel the upload, which aborts it; waits for nothing, as the garbage collector may call it anywhere."""
        with suppress(RuntimeError):  # the loop has ended, and the upload with it
            self._loop.call_soon_threadsafe(self._scope.cancel)

    # -- in the loop's thread -------------------------------------------------------------------------

    async def _hold(self, *, task_status: TaskStatus[UploadWriter]) -> None:
        self._loop = asyncio.get_running_loop()
        self._left = anyio.Event()
        self._writing = anyio.CancelScope()
        with anyio.CancelScope() as self._scope:
            async with open_object(self._url, **self._parameters) as writer:
                task_status.started(writer)
                await self._left.wait()
                if self._error is not None:
                    raise _BlockFailedError(describe(self._error))

    async def _write(self, buffers: list[bytes]) -> None:
        with anyio.CancelScope() as self._writing:
            await self.writer.write_many(buffers)

    async def _leave(self, error: BaseException | None) -> None:
        self._error = error
        if error is not None:
            self._writing.cancel()
        self._left.set()


# -- the portal ---------------------------------------------------------------------------------------

_before_threads_end: Callable[..., object] = getattr(threading, "_register_atexit", atexit.register)
"""At the exit of the interpreter, while threads still take work, without which nothing can be aborted. ``atexit`` comes
after that; the function of ``threading`` is what ``concurrent.futures`` itself uses, and later entries go first."""

_lock = threading.Lock()
_portals: dict[int, BlockingPortal] = {}
"""The portal of this process, by its id: a forked child has none of its parent's threads."""


def _portal() -> BlockingPortal:
    with _lock:
        portal = _portals.get(os.getpid())
        if portal is None:
            ready: Future[BlockingPortal] = Future()
            thread = threading.Thread(target=anyio.run, args=(_serve, ready), name="penstock-objects", daemon=True)
            thread.start()
            portal = _portals[os.getpid()] = ready.result()
            _before_threads_end(_stop, os.getpid(), portal, thread)
        return portal


async def _serve(ready: Future[BlockingPortal]) -> None:
    async with BlockingPortal() as portal:
        ready.set_result(portal)
        await portal.sleep_until_stopped()


def _stop(pid: int, portal: BlockingPortal, thread: threading.Thread) -> None:
    """Cancel what is open, so that it is aborted, and wait for it."""
    if pid == os.getpid():
        portal.call(portal.stop, True)
        thread.join()
