"""Fetch a resource over HTTP, as it comes.

Redirects are followed, but not from https to http. Every hop must lead to a public address, unless `allow_private` says
otherwise, and the address that was checked is the one that is connected to. An answer that breaks off before its end
fails the node. Proxies of the environment are not used. The request is sent when the node starts, so that what is not
there is known before a packet flows. Reference: RFC 9110.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from anyio import to_thread
from pydantic import AfterValidator, Field

from penstock.nodes.base import Node, NodeConfig, node
from penstock.nodes.stopping import cut_short_by
from penstock.nodes.types import ByteSize
from penstock.packets import Binary
from penstock.pins import BINARY, OutputPin

if TYPE_CHECKING:
    from penstock.nodes.base import NodeContext
    from penstock.nodes.http.fetching import Fetch

__all__ = ["HttpFetcher", "HttpFetcherConfig"]

BLOCK_BYTES = 1 << 18


def _fetchable(url: str) -> str:
    from penstock.nodes.http.line import checked_url

    checked_url(url)
    return url


class HttpFetcherConfig(NodeConfig):
    """What is fetched, and from where it may come."""

    url: Annotated[str, AfterValidator(_fetchable)] = Field(
        max_length=8192, description="An http or https URL.", examples=["https://example.com/take-1.ogg"]
    )
    chunk_size: int = Field(8192, ge=1, le=16 << 20, strict=True, description="Bytes of a packet at most.")
    max_redirects: int = Field(5, ge=0, le=20, strict=True, description="Redirects that are followed.")
    allow_private: bool = Field(
        False, strict=True, description="Fetch from loopback, private and other special addresses too."
    )
    max_size: ByteSize | None = Field(None, ge=1, description="Bytes of the resource at most; more is an error.")
    timeout_s: float = Field(
        30, gt=0, le=3600, description="How long to wait for a connection, and for each next piece of the answer."
    )


@node("transport::http::fetcher", outputs=[OutputPin("out", BINARY)], example={"url": "https://example.com/take-1.ogg"})
class HttpFetcher(Node[HttpFetcherConfig]):
    """Fetch a resource over HTTP, as it comes."""

    _fetch: Fetch | None = None

    async def prepare(self, ctx: NodeContext) -> None:  # noqa: ARG002
        """Send the request and read the head of the answer.

        Raises:
            ConfigurationError: a hop leads to an address that is not public, or is no URL that can be fetched.
            StoreError: the server refuses, cannot be reached, or redirects too often.
            BadData: the resource is larger than ``max_size``.
        """
        from penstock.nodes.http.fetching import Fetch

        config = self.config
        self._fetch = Fetch(
            allow_private=config.allow_private,
            max_redirects=config.max_redirects,
            timeout_s=config.timeout_s,
            max_size=config.max_size,
        )
        await to_thread.run_sync(self._fetch.open, config.url, abandon_on_cancel=True)

    async def run(self, ctx: NodeContext) -> None:
        """Send the answer; return at its end, or soon after the run was asked to stop.

        Raises:
            StoreUnavailable: the answer broke off.
            BadData: more than ``max_size`` bytes came.
        """
        fetch, output = self._fetch, ctx.output()
        assert fetch is not None  # noqa: S101 - prepared
        size = self.config.chunk_size
        async with cut_short_by(ctx.stopping) as wait:
            while not ctx.stopping.is_set():
                block = b""
                with wait():
                    block = await to_thread.run_sync(fetch.read, BLOCK_BYTES, abandon_on_cancel=True)
                if not block:
                    return
                view = memoryview(block)
                await output.send_many(
                    [Binary(view[at : at + size], fetch.content_type) for at in range(0, len(view), size)]
                )

    async def close(self) -> None:
        if self._fetch is not None:
            await to_thread.run_sync(self._fetch.close)
