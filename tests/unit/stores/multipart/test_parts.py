import pytest

from penstock.errors import ConfigurationError
from penstock.stores.base import GIB, KIB, MIB, TIB, Body, Capability
from penstock.stores.multipart.parts import BLOCK_BYTES, JOINED_BYTES, SMALL_BYTES, BlockBuffer, gather, plan_parts


def sizes(plan, count: int) -> list[int]:
    """The sizes of the first parts, each filled."""
    found: list[int] = []
    for number in range(1, count + 1):
        found.append(plan.size(number, sum(found)))
    return found


# -- plan ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "size"),
    [(1, 5), (500, 5), (501, 10), (1000, 10), (1001, 20), (1500, 20), (1501, 40), (2001, 64), (10_000, 64)],
)
def test_sizes_on_s3_double_after_each_twentieth_up_to_the_memory_limit(number, size):
    plan = plan_parts(5 * MIB, Capability(), 64 * MIB)
    assert plan.size(number, 0) == size * MIB


def test_the_published_capacities_on_s3_hold():
    assert plan_parts(5 * MIB, Capability(), 64 * MIB).capacity_bytes // GIB == 536
    assert plan_parts(5 * MIB, Capability(), GIB).capacity_bytes == 5 * TIB


def test_the_ceiling_is_the_least_that_holds_the_largest_object():
    plan = plan_parts(5 * MIB, Capability(), 4 * GIB)
    assert plan.ceiling_bytes < GIB
    smaller = plan_parts(5 * MIB, Capability(), plan.ceiling_bytes - 1)
    assert smaller.capacity_bytes < plan.capacity_bytes == 5 * TIB


def test_parts_stay_equal_where_the_store_needs_no_growth():
    plan = plan_parts(10, Capability(min_part_bytes=1, max_parts=100, max_object_bytes=1000), 10_000)
    assert set(sizes(plan, 100)) == {10}


def test_a_store_of_equal_parts_gets_parts_of_one_size():
    plan = plan_parts(10, Capability(min_part_bytes=1, max_parts=40, equal_parts=True), 10_000)
    assert sizes(plan, 41) == [10] * 40 + [0]
    assert plan.capacity_bytes == 400


@pytest.mark.parametrize("max_parts", [1, 2, 19, 20, 21, 39, 40, 41, 1000])
def test_the_plan_ends_with_the_part_numbers(max_parts):
    plan = plan_parts(1, Capability(min_part_bytes=1, max_parts=max_parts, max_object_bytes=1 << 60), 64)
    filled = sizes(plan, max_parts + 1)
    assert 0 not in filled[:-1]
    assert filled[-1] == 0
    assert sum(filled) == plan.capacity_bytes


@pytest.mark.parametrize(("limit", "last"), [(99, [10, 9, 0]), (100, [10, 10, 0]), (101, [10, 10, 1])])
def test_the_largest_object_ends_the_plan_to_the_byte(limit, last):
    plan = plan_parts(10, Capability(min_part_bytes=1, max_object_bytes=limit), 64)
    assert sizes(plan, 11)[-3:] == last


@pytest.mark.parametrize("chunk", [4, 5, 6])
def test_a_chunk_is_at_least_what_the_store_asks_for(chunk):
    capability = Capability(min_part_bytes=5)
    if chunk < 5:
        with pytest.raises(ConfigurationError, match="chunk_size 4 is too small: the store asks for parts of 5 or"):
            plan_parts(chunk, capability, 100)
    else:
        assert plan_parts(chunk, capability, 100).chunk_bytes == chunk


@pytest.mark.parametrize("chunk", [7, 8, 9])
def test_a_chunk_is_at_most_what_the_store_takes(chunk):
    capability = Capability(min_part_bytes=1, max_part_bytes=8)
    if chunk > 8:
        with pytest.raises(ConfigurationError, match="chunk_size 9 is too large: the store takes parts of up to 8"):
            plan_parts(chunk, capability, 100)
    else:
        assert plan_parts(chunk, capability, 100).ceiling_bytes == 8


@pytest.mark.parametrize("limit", [7, 8, 9])
def test_the_memory_limit_holds_at_least_one_part(limit):
    capability = Capability(min_part_bytes=1)
    if limit < 8:
        with pytest.raises(ConfigurationError, match="memory_limit 7 does not hold one part of chunk_size 8"):
            plan_parts(8, capability, limit)
    else:
        assert plan_parts(8, capability, limit).ceiling_bytes == limit


# -- pieces -------------------------------------------------------------------------------------------


def test_small_buffers_come_joined():
    assert list(gather([b"a", bytearray(b"b"), memoryview(b"c")])) == [b"abc"]


@pytest.mark.parametrize("size", [1, 4095, 4096, 4097, SMALL_BYTES - 1])
def test_a_long_run_of_small_buffers_comes_in_strokes_of_a_few_blocks(size):
    buffers = [bytes([number % 251]) * size for number in range(300)]
    pieces = list(gather(buffers))
    assert b"".join(pieces) == b"".join(buffers)
    assert max(map(len, pieces)) <= JOINED_BYTES
    assert len(pieces) <= 2 + 300 * size // (JOINED_BYTES - size)


def test_empty_buffers_are_nothing():
    assert b"".join(gather([b"", bytearray(), b""])) == b""


@pytest.mark.parametrize("size", [SMALL_BYTES - 1, SMALL_BYTES, SMALL_BYTES + 1])
def test_buffers_from_the_small_size_on_are_passed_by_reference(size):
    data = bytes(size)
    pieces = list(gather([data, b"x"]))
    assert (pieces[0] is data) == (size >= SMALL_BYTES)
    assert b"".join(pieces) == data + b"x"


def test_a_single_buffer_is_passed_by_reference_whatever_its_size():
    data = b"data"
    assert next(gather([data])) is data


@pytest.mark.parametrize("size", [1, SMALL_BYTES, 1 << 20])
@pytest.mark.parametrize(
    "wrap", [bytearray, lambda data: memoryview(bytearray(data)), lambda data: memoryview(bytearray(data)).toreadonly()]
)
def test_what_the_caller_may_change_is_copied(size, wrap):
    mutable = wrap(b"x" * size)
    (piece,) = gather([mutable])
    target = mutable.obj if isinstance(mutable, memoryview) else mutable
    target[0] = 0
    assert piece == b"x" * size


def test_a_view_of_bytes_is_passed_by_reference():
    data = bytes(1 << 20)
    (piece,) = gather([memoryview(data)[5:]])
    assert piece.obj is data
    assert len(piece) == len(data) - 5


def test_views_of_any_shape_are_read_as_bytes():
    wide = memoryview(bytes(range(256)) * 256).cast("I")
    strided = memoryview(b"a-b-c-")[::2]
    assert b"".join(gather([wide])) == wide.tobytes()
    assert b"".join(gather([strided])) == b"abc"
    assert b"".join(gather([strided, wide, b"x"])) == b"abc" + wide.tobytes() + b"x"


# -- blocks -------------------------------------------------------------------------------------------


def taken(buffer: BlockBuffer) -> Body:
    with buffer.take().open() as body:
        return body


def filled(room: int, *pieces: bytes) -> tuple[BlockBuffer, list[bytes], list[bytes | memoryview | None]]:
    seen: list[bytes] = []
    buffer = BlockBuffer(lambda block: seen.append(bytes(block)))
    buffer.start(room, 1)
    return buffer, seen, [buffer.add(piece) for piece in pieces]


def test_small_pieces_become_blocks_and_large_ones_stay_as_they_are():
    large = bytes(SMALL_BYTES)
    buffer, _, _ = filled(MIB, *[b"x" * KIB] * 100, large, b"tail")
    blocks = taken(buffer)
    assert [len(block) for block in blocks] == [64 * KIB, 36 * KIB, 16 * KIB, 4]
    assert blocks[2] is large


@pytest.mark.parametrize(("max_put", "memory", "holds"), [(9, 20, 9), (10, 20, 10), (11, 20, 10), (10, 21, 10)])
def test_a_store_without_multipart_upload_gets_one_part_of_half_the_memory_at_most(max_put, memory, holds):
    plan = plan_parts(5 * MIB, Capability(multipart=False, max_put_bytes=max_put), memory)
    assert plan.capacity_bytes == plan.size(1, 0) == holds
    assert plan.size(2, holds) == 0


@pytest.mark.parametrize("last", [BLOCK_BYTES - 2, BLOCK_BYTES - 1, BLOCK_BYTES])
def test_a_block_is_closed_when_it_has_its_size(last):
    pieces = [b"x"] * last
    buffer, seen, _ = filled(MIB, *pieces, b"y")
    assert [len(block) for block in seen] == ([BLOCK_BYTES] if last >= BLOCK_BYTES - 1 else [])
    assert sum(map(len, taken(buffer))) == last + 1


@pytest.mark.parametrize("size", [9, 10, 11])
def test_a_part_takes_what_there_is_room_for_and_gives_back_the_rest(size):
    buffer, _, (rest,) = filled(10, b"0123456789a"[:size])
    assert (rest if rest is None else bytes(rest)) == (b"a" if size == 11 else None)
    assert (buffer.size, buffer.room) == (min(size, 10), max(10 - size, 0))


def test_every_block_is_told_once_in_order():
    pieces = [b"a" * 10, b"b" * SMALL_BYTES, b"c" * 70_000, b"d", b"e" * SMALL_BYTES]
    buffer, seen, _ = filled(MIB, *pieces)
    blocks = taken(buffer)
    assert b"".join(seen) == b"".join(blocks) == b"".join(pieces)
    assert len(seen) == len(blocks)


def test_a_taken_part_leaves_an_empty_buffer_without_room():
    buffer, _, _ = filled(10, b"0123")
    assert taken(buffer) == [b"0123"]
    assert (buffer.size, buffer.room, taken(buffer)) == (0, 0, [])
    assert "room for 0" in repr(buffer)


@pytest.mark.parametrize(("size", "taken"), [(9, True), (10, False), (11, False)])
def test_a_small_piece_is_taken_at_once_if_it_leaves_room(size, taken):
    buffer = BlockBuffer(lambda block: None)
    buffer.start(10, 1)
    assert buffer.add_small(bytes(size)) is taken
    assert (buffer.size, buffer.room) == ((9, 1) if taken else (0, 10))


@pytest.mark.parametrize(("size", "taken"), [((16 << 10) - 1, True), (16 << 10, False)])
def test_a_large_piece_is_not_taken_as_a_small_one(size, taken):
    buffer = BlockBuffer(lambda block: None)
    buffer.start(1 << 20, 1)
    assert buffer.add_small(bytes(size)) is taken


def test_small_pieces_become_blocks_in_order():
    blocks: list = []
    buffer = BlockBuffer(blocks.append)
    buffer.start(1 << 20, 1)
    pieces = [bytes([n]) * 1000 for n in range(200)]
    assert all(buffer.add_small(piece) for piece in pieces)
    assert b"".join(taken(buffer)) == b"".join(pieces)
    assert [len(block) for block in blocks] == [66_000, 66_000, 66_000, 2_000]


def test_a_closed_buffer_keeps_what_it_has_and_takes_no_more():
    buffer = BlockBuffer(lambda block: None)
    buffer.start(10, 1)
    buffer.add_small(b"abc")
    buffer.close()
    assert not buffer.add_small(b"d")
    assert (buffer.size, buffer.room) == (3, 0)
    assert taken(buffer) == [b"abc"]
