"""Bodies of requests to Azure, and the watch over their progress."""

import anyio
import pytest

from penstock.errors import StoreUnavailable
from penstock.stores.azure.body import PIECE_BYTES, stream, watching
from penstock.stores.azure.errors import translated
from penstock.stores.operation import Operation


@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1])
async def test_a_body_comes_whole_in_bounded_pieces_that_hold_no_view_of_it(size):
    data = bytes(range(256)) * (size // 256) + bytes(size % 256)
    buffer = bytearray(data)
    pieces = []
    with watching() as watch:
        async for piece in stream([b"head", buffer, memoryview(b"tail")], watch):
            pieces.append(piece)
            buffer.append(0)  # fails while somebody holds a view of it
            buffer.pop()
    assert b"".join(pieces) == b"head" + data + b"tail"
    assert max(map(len, pieces)) <= PIECE_BYTES


async def test_a_request_that_moves_outlives_its_deadline_and_one_that_stalls_does_not():
    with watching(60) as watch:
        scope = watch._scope
        before = scope.deadline
        await anyio.sleep(0.001)
        watch.progress()
        assert scope.deadline > before
    operation = Operation("put_part", "key")
    with pytest.raises(StoreUnavailable, match="nothing moved") as caught, translated(operation), watching(0.01):
        await anyio.sleep_forever()
    assert caught.value.retryable
