from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.stores.base import Capability
from penstock.stores.multipart.parts import BlockBuffer, gather, plan_parts

buffers = st.lists(
    st.one_of(
        st.binary(max_size=40),
        st.binary(max_size=40).map(bytearray),
        st.binary(max_size=40).map(memoryview),
        st.integers(0, 70_000).map(bytes),
        st.tuples(st.binary(min_size=1, max_size=3), st.integers(1, 30_000)).map(lambda pair: pair[0] * pair[1]),
    ),
    max_size=600,
)


def taken(buffer: BlockBuffer) -> bytes:
    with buffer.take().open() as body:
        return b"".join(body)


def cut(pieces, plan) -> list[bytes]:
    """Cut pieces into parts as the writer does."""
    parts = []
    buffer = BlockBuffer(lambda block: None)
    offset = 0
    for piece in pieces:
        rest = piece
        while rest is not None:
            if not buffer.room:
                buffer.start(plan.size(len(parts) + 1, offset), len(parts) + 1)
            rest = buffer.add(rest)
            if not buffer.room:
                parts.append(taken(buffer))
                offset += len(parts[-1])
    if buffer.size:
        parts.append(taken(buffer))
    return parts


@settings(deadline=None)  # other work on the machine may hold a single case up
@given(given_buffers=buffers, chunk=st.integers(1, 200_000))
def test_parts_are_the_input_again_and_all_but_the_last_are_full(given_buffers, chunk):
    plan = plan_parts(chunk, Capability(min_part_bytes=1, max_parts=1 << 40, max_object_bytes=1 << 40), 1 << 30)
    parts = cut(gather(given_buffers), plan)
    assert b"".join(parts) == b"".join(map(bytes, given_buffers))
    assert all(len(part) == chunk for part in parts[:-1])


@given(
    chunk=st.integers(1, 1000),
    limit=st.integers(1000, 1 << 32),
    max_parts=st.integers(1, 60_000),
    largest=st.integers(1, 1 << 50),
    equal=st.booleans(),
)
def test_a_plan_keeps_every_limit_and_uses_every_part_number(chunk, limit, max_parts, largest, equal):
    capability = Capability(min_part_bytes=1, max_parts=max_parts, max_object_bytes=largest, equal_parts=equal)
    plan = plan_parts(chunk, capability, limit)
    offset = previous = 0
    for number in range(1, max_parts + 2):
        size = plan.size(number, offset)
        offset += size
        assert size <= min(limit, capability.max_part_bytes)
        assert size >= min(previous, plan.capacity_bytes - offset + size)  # sizes only grow, the last one excepted
        previous = size
        if not size:
            break
    assert offset == plan.capacity_bytes <= largest
    if equal:
        assert plan.ceiling_bytes == chunk
    elif offset < largest:
        assert plan.ceiling_bytes == min(limit, capability.max_part_bytes)  # nothing larger was allowed


@given(chunk=st.integers(5 << 20, 64 << 20), limit=st.integers(1 << 30, 1 << 33))
def test_the_largest_s3_object_fits_any_chunk_size_within_a_gibibyte(chunk, limit):
    assert plan_parts(chunk, Capability(), limit).capacity_bytes == Capability().max_object_bytes
