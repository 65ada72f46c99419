"""What is left of the connections of a store that is closed: nothing."""

import asyncio
import gc
import socket
import warnings

import pytest

from penstock.stores.azure.account import AzureContainer
from penstock.stores.azure.store import AzureStore
from support.sockets import BIG


def opened(port):
    return AzureStore(AzureContainer(f"http://127.0.0.1:{port}/me", "me", "takes", account_key="a2V5"))


async def send_and_give_up(listener):
    """Cancel a part of which the server has read the beginning and will never read the rest; return its end."""
    store = opened(listener.getsockname()[1])
    sending = asyncio.ensure_future(store.put_part("key", "0" * 32, 1, [bytes(BIG)], offset=0))
    peer, _ = await asyncio.to_thread(listener.accept)
    await asyncio.to_thread(peer.recv, 1)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    await store.aclose()
    await store.aclose()
    return peer


def test_a_part_that_was_given_up_leaves_no_connection_to_a_server_that_reads_no_more():
    with socket.create_server(("127.0.0.1", 0)) as listener, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        peer = asyncio.run(send_and_give_up(listener))
        gc.collect()
        peer.close()
    assert [str(warning.message) for warning in caught if warning.category is ResourceWarning] == []


async def test_a_store_that_was_never_used_closes_too():
    store = opened(1)
    await store.aclose()
    with pytest.raises(ValueError, match="closed"):
        await store.check()
