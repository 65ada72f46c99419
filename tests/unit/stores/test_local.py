"""What is particular to the local store: paths, what is left on the disk, and what the disk refuses."""

import errno
import json
import os
import stat
from pathlib import Path

import pytest

from penstock.errors import NotFound, PermissionDenied, StoreError, StoreFull, StoreUnavailable, Unsupported, UploadGone
from penstock.stores.base import ObjectProperties
from penstock.stores.local import LocalStore, files


@pytest.fixture
def root(tmp_path):
    return tmp_path / "bucket"


@pytest.fixture
def store(root):
    return LocalStore(root)


def tree(root):
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("", "is empty"),
        ("/etc/passwd", "an empty name"),
        ("a//b", "an empty name"),
        ("a/", "an empty name"),
        ("../x", "'..' in its path"),
        ("a/../../x", "'..' in its path"),
        ("a/./b", "'.' in its path"),
        ("nul\0", "NUL"),
        (".penstock/x", "'.penstock'"),
        ("x" * 256, "more than 255 bytes"),
        ("/".join(["x" * 100] * 11), "at most 1024"),
        ("\ud800", "not valid Unicode"),
    ],
)
async def test_a_key_that_is_no_path_in_the_root_is_refused(store, root, key, reason):
    for call in (store.put(key, [b"x"]), store.create_multipart(key), store.head(key), store.delete(key)):
        with pytest.raises(StoreError, match=f"the key .*{reason}"):
            await call
    assert not root.exists()


@pytest.mark.parametrize("key", ["x" * 255, "a/.penstock", "back\\slash", "..."])
async def test_a_key_at_the_limit_is_a_path(store, root, key):
    await store.put(key, [b"x"])
    assert (root / key).read_bytes() == b"x"


async def test_a_key_cannot_be_an_object_and_a_directory(store):
    await store.put("a/b", [b"x"])
    with pytest.raises(StoreError, match="'a': there is a directory of that name"):
        await store.put("a", [b"y"])
    with pytest.raises(StoreError, match="'a': there is a directory of that name"):
        await store.put("a", [b"y"], if_absent=True)
    with pytest.raises(StoreError, match="'a/b/c': a name on its way is a file"):
        await store.put("a/b/c", [b"y"])
    for key in ("a", "a/b/c"):
        with pytest.raises(NotFound):
            await store.head(key)
        await store.delete(key)
    assert [info.key async for info in store.list()] == ["a/b"]


async def test_nothing_but_the_object_is_left(store, root):
    await store.put("a/b", [b"x"], ObjectProperties("audio/ogg", {"k": "v"}))
    upload_id = await store.create_multipart("c")
    part = await store.put_part("c", upload_id, 1, [b"x"], offset=0)
    await store.complete_multipart("c", upload_id, [part])
    await store.abort_multipart("d", await store.create_multipart("d"))
    assert tree(root) == ["a", "a/b", "c"]


async def test_a_failed_put_leaves_nothing_and_the_old_object(store, root, monkeypatch):
    await store.put("key", [b"old"])
    monkeypatch.setattr(files.os, "pwritev", fails(errno.ENOSPC))
    with pytest.raises(StoreFull, match="put 'key': no space left on device"):
        await store.put("key", [b"new"])
    assert tree(root) == ["key"]
    assert (root / "key").read_bytes() == b"old"


def fails(number):
    def call(*_, **__):
        raise OSError(number, os.strerror(number))

    return call


@pytest.mark.parametrize(
    ("number", "kind", "retryable"),
    [
        (errno.ENOSPC, StoreFull, False),
        (errno.EDQUOT, StoreFull, False),
        (errno.EFBIG, StoreFull, False),
        (errno.EROFS, PermissionDenied, False),
        (errno.EACCES, PermissionDenied, False),
        (errno.EIO, StoreUnavailable, True),
        (errno.EMFILE, StoreUnavailable, True),
        (errno.ELOOP, StoreError, False),
    ],
)
async def test_what_the_system_refuses_has_a_name(store, monkeypatch, number, kind, retryable):
    upload_id = await store.create_multipart("key")
    monkeypatch.setattr(files.os, "pwritev", fails(number))
    with pytest.raises(kind) as caught:
        await store.put_part("key", upload_id, 3, [b"x"], offset=9)
    error = caught.value
    assert (error.operation, error.key, error.part_number) == ("put_part", "key", 3)
    assert (error.code, error.retryable) == (errno.errorcode[number], retryable)
    monkeypatch.undo()
    await store.abort_multipart("key", upload_id)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")
async def test_a_full_disk_is_full(tmp_path):
    upload_store = LocalStore(tmp_path)
    upload_id = await upload_store.create_multipart("key")
    data = tmp_path / ".penstock/uploads" / upload_id / "data"
    data.unlink()
    data.symlink_to("/dev/full")
    with pytest.raises(StoreFull):
        await upload_store.put_part("key", upload_id, 1, [b"x"], offset=0)


async def test_a_write_that_comes_short_goes_on(store, root, monkeypatch):
    whole = os.pwritev
    monkeypatch.setattr(
        files.os, "pwritev", lambda fd, buffers, offset: whole(fd, [memoryview(buffers[0])[:2]], offset)
    )
    await store.put("key", [b"abc", b"", bytearray(b"defgh"), b"i"])
    assert (root / "key").read_bytes() == b"abcdefghi"


@pytest.mark.parametrize("exists", [True, False])
async def test_a_root_passes_its_check_whether_or_not_it_is_there(store, root, exists):
    if exists:
        root.mkdir()
    await store.check()
    assert root.exists() is exists


async def test_a_root_that_is_a_file_fails_its_check(store, root):
    root.write_bytes(b"")
    with pytest.raises(NotFound, match="is not a directory; correct the endpoint or the bucket"):
        await store.check()


async def test_a_root_that_cannot_be_written_fails_its_check(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)  # the tests may run as root, who may write everywhere
    with pytest.raises(PermissionDenied, match="cannot be written by this user"):
        await LocalStore(tmp_path / "bucket").check()


async def test_permissions_are_those_of_the_umask(store, root):
    previous = os.umask(0o027)
    try:
        await store.put("key", [b"x"])
    finally:
        os.umask(previous)
    assert stat.S_IMODE((root / "key").stat().st_mode) == 0o640


# -- parts in one file ----------------------------------------------------------------------------------


async def test_parts_with_a_gap_cannot_be_completed(store):
    upload_id = await store.create_multipart("key")
    parts = [await store.put_part("key", upload_id, n, [b"xx"], offset=offset) for n, offset in ((1, 0), (2, 3))]
    with pytest.raises(StoreError, match="part 2 begins at byte 3, but the parts before it end at 2"):
        await store.complete_multipart("key", upload_id, parts)
    await store.abort_multipart("key", upload_id)


async def test_parts_written_over_each_other_cannot_be_completed(store):
    upload_id = await store.create_multipart("key")
    second = await store.put_part("key", upload_id, 2, [b"22"], offset=2)
    await store.put_part("key", upload_id, 1, [b"1111"], offset=0)  # over part 2
    first = await store.put_part("key", upload_id, 1, [b"11"], offset=0)
    with pytest.raises(StoreError, match="parts 2 and 1 were written over each other"):
        await store.complete_multipart("key", upload_id, [first, second])
    await store.abort_multipart("key", upload_id)


async def test_a_part_beyond_those_completed_is_cut_off(store, root):
    upload_id = await store.create_multipart("key")
    first = await store.put_part("key", upload_id, 1, [b"11"], offset=0)
    await store.put_part("key", upload_id, 2, [b"22"], offset=2)
    await store.complete_multipart("key", upload_id, [first])
    assert (root / "key").read_bytes() == b"11"


async def test_an_outdated_etag_is_refused(store):
    upload_id = await store.create_multipart("key")
    old = await store.put_part("key", upload_id, 1, [b"xx"], offset=0)
    await store.put_part("key", upload_id, 1, [b"yy"], offset=0)
    with pytest.raises(StoreError, match="part 1 is not stored as it is named"):
        await store.complete_multipart("key", upload_id, [old])
    await store.abort_multipart("key", upload_id)


async def test_a_line_torn_by_a_crash_hides_no_other(store, root):
    upload_id = await store.create_multipart("key")
    first = await store.put_part("key", upload_id, 1, [b"xx"], offset=0)
    with (root / ".penstock/uploads" / upload_id / "parts").open("ab") as log:
        log.write(b'{"number": 2, "off')
    third = await store.put_part("key", upload_id, 3, [b"yy"], offset=2)
    assert list(await store.list_parts("key", upload_id)) == [first, third]
    await store.abort_multipart("key", upload_id)


async def test_another_store_on_the_same_root_goes_on_with_an_upload(store, root):
    upload_id = await store.create_multipart("key", ObjectProperties("audio/ogg"))
    await store.put_part("key", upload_id, 1, [b"xx"], offset=0)
    later = LocalStore(root)
    assert [(upload.key, upload.upload_id) async for upload in later.list_uploads()] == [("key", upload_id)]
    await later.put_part("key", upload_id, 2, [b"yy"], offset=2)
    await later.complete_multipart("key", upload_id, await later.list_parts("key", upload_id))
    assert (root / "key").read_bytes() == b"xxyy"


@pytest.mark.parametrize("upload_id", ["", "..", "../../etc", "0" * 31, "0" * 33, "A" * 32])
async def test_an_upload_id_that_is_none_of_ours_reaches_no_path(store, upload_id):
    with pytest.raises(UploadGone):
        await store.put_part("key", upload_id, 1, [b"x"], offset=0)
    await store.abort_multipart("key", upload_id)


async def test_an_upload_belongs_to_its_key(store):
    upload_id = await store.create_multipart("key")
    with pytest.raises(UploadGone):
        await store.put_part("other", upload_id, 1, [b"x"], offset=0)
    await store.abort_multipart("key", upload_id)


async def test_what_a_killed_process_left_half_removed_goes_with_the_next(store, root):
    remains = root / ".penstock/uploads" / ("0" * 32 + ".removed")
    remains.mkdir(parents=True)
    (remains / "data").write_bytes(b"x")
    (remains / "upload.json").write_text(json.dumps({"key": "old", "initiated": "2026-01-01T00:00:00+00:00"}))
    assert [upload async for upload in store.list_uploads()] == []
    await store.abort_multipart("key", await store.create_multipart("key"))
    assert tree(root) == []


@pytest.mark.parametrize(("number", "offset"), [(0, 0), (1, -1)])
async def test_parts_count_from_one_and_offsets_from_zero(store, number, offset):
    upload_id = await store.create_multipart("key")
    with pytest.raises(StoreError, match="parts count from 1 and offsets from 0"):
        await store.put_part("key", upload_id, number, [b"x"], offset=offset)
    with pytest.raises(StoreError, match="no parts"):
        await store.complete_multipart("key", upload_id, [])
    await store.abort_multipart("key", upload_id)


# -- properties -----------------------------------------------------------------------------------------


async def test_a_file_that_others_made_is_an_object_without_properties(store, root):
    root.mkdir()
    (root / "theirs").write_bytes(b"x")
    assert (await store.head("theirs")).properties == ObjectProperties()


async def test_without_attributes_properties_are_dropped_as_the_capability_says(root, monkeypatch):
    monkeypatch.setattr(files.os, "setxattr", fails(errno.ENOTSUP))
    monkeypatch.setattr(files.os, "getxattr", fails(errno.ENOTSUP))
    store = LocalStore(root)
    assert not store.capability.properties
    await store.put("key", [b"x"], ObjectProperties("audio/ogg"))
    assert (await store.head("key")).properties == ObjectProperties()
    assert tree(root) == ["key"]


async def test_properties_too_large_for_an_attribute_are_refused_and_not_called_a_full_disk(store, root, monkeypatch):
    monkeypatch.setattr(files.os, "setxattr", fails(errno.ENOSPC))
    with pytest.raises(Unsupported, match="too large for an attribute"):
        await store.put("key", [b"x"], ObjectProperties("audio/ogg"))
    with pytest.raises(Unsupported, match="too large for an attribute"):
        await store.create_multipart("key", ObjectProperties("audio/ogg"))
    assert tree(root) == []
