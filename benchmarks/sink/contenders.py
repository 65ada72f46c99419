"""Ways to stream packets into an object of S3 from Python, each as its own documentation has it.

A contender is a coroutine of a job and its packets that returns when the object is there. All have the same part size
and parts in flight, path addressing, and neither hash payloads nor add checksums, where this can be turned off;
penstock alone computes one, CRC-64/NVME over the whole object. What dislikes small writes is given blocks of 1 MiB.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from workload import MIB, Job, Packets, blocks

if TYPE_CHECKING:
    from penstock.stores.base import MultipartStore

Run = Callable[[Job, Packets], Awaitable[None]]
CHILDREN: set[int] = set()
"""Processes that a contender has started, for who measures memory."""


@dataclass(frozen=True)
class Contender:
    """A name for the table, how to run it, and the modules or the program that it needs."""

    name: str
    run: Run = field(compare=False)
    modules: Sequence[str] = ()
    program: str | None = None

    @property
    def installed(self) -> bool:
        found = all(importlib.util.find_spec(module) for module in self.modules)
        return found and (self.program is None or program(self.program) is not None)


def program(name: str) -> str | None:
    """A program beside this interpreter, or on PATH."""
    return shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)


async def source_alone(_: Job, source: Packets) -> None:
    """What is left when nothing is sent: the cost of making the packets."""
    async for _batch in source:
        pass


# -- penstock -----------------------------------------------------------------------------------------


def penstock_store(job: Job) -> MultipartStore:
    from penstock.stores.credentials import CredentialSettings
    from penstock.stores.resolve import open_store

    return open_store(
        job.endpoint,
        job.bucket,
        region=job.region,
        credentials=CredentialSettings(access_key_id=job.access_key_id, secret_access_key=job.secret_access_key),
        connections=job.in_flight + 1,
        store="aws",  # as Amazon S3 is written to: CRC-64/NVME of every part and of the object, no MD5
    )


async def penstock(job: Job, source: Packets, durability: str = "none") -> None:
    from penstock.stores.durable import Spool, StateDirectory, UploadRecord
    from penstock.stores.multipart import UploadOptions, open_upload

    store = penstock_store(job)
    limit = (job.in_flight + 1) * job.part
    options = UploadOptions(chunk_size=job.part, parts_in_flight=job.in_flight, memory_limit=limit)
    journal = None
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as state:
        if durability != "none":
            record = UploadRecord("benchmark", job.key, store.url, options=options, durability=durability)
            journal = Spool.create(StateDirectory(state), record)
        try:
            async with open_upload(store, job.key, options, journal=journal) as upload:
                async for batch in source:
                    await upload.write_many(batch)
        finally:
            await store.aclose()


# -- in Rust ------------------------------------------------------------------------------------------


async def obstore(job: Job, source: Packets) -> None:
    from datetime import timedelta

    import obstore
    from obstore.store import S3Store

    store = S3Store(
        job.bucket,
        endpoint=job.endpoint,
        region=job.region,
        access_key_id=job.access_key_id,
        secret_access_key=job.secret_access_key,
        unsigned_payload=True,
        # It takes no authority of one's own: under TLS the certificate goes unchecked, once a connection.
        client_options={"allow_http": True, "allow_invalid_certificates": job.tls, "timeout": timedelta(minutes=5)},
    )
    writer = obstore.open_writer_async(store, job.key, buffer_size=job.part, max_concurrency=job.in_flight)
    async with writer as upload:
        async for block in blocks(source):
            await upload.write(block)


async def opendal(job: Job, source: Packets) -> None:
    import opendal

    operator = opendal.AsyncOperator(
        "s3",
        bucket=job.bucket,
        endpoint=job.endpoint,
        region=job.region,
        access_key_id=job.access_key_id,
        secret_access_key=job.secret_access_key,
        disable_config_load="true",
        disable_ec2_metadata="true",
    )
    async with await operator.open(job.key, "wb", chunk=job.part, concurrent=job.in_flight) as upload:
        async for block in blocks(source):
            await upload.write(block)


# -- on botocore --------------------------------------------------------------------------------------


def _boto3_client(job: Job) -> Any:
    import boto3
    from botocore.config import Config

    config = Config(
        s3={"addressing_style": "path", "payload_signing_enabled": False},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        max_pool_connections=max(10, job.in_flight),
    )
    return boto3.client(
        "s3",
        endpoint_url=job.endpoint,
        region_name=job.region,
        aws_access_key_id=job.access_key_id,
        aws_secret_access_key=job.secret_access_key,
        verify=job.ca_file,
        config=config,
    )


async def boto3(job: Job, source: Packets) -> None:
    """``upload_fileobj`` reads; so the stream goes through a pipe."""
    from boto3.s3.transfer import TransferConfig

    client = _boto3_client(job)
    config = TransferConfig(
        multipart_threshold=job.part,
        multipart_chunksize=job.part,
        max_concurrency=job.in_flight,
        preferred_transfer_client="classic",
    )
    reading, writing = os.pipe()
    with open(reading, "rb", buffering=MIB) as readable, open(writing, "wb", buffering=0) as writable:  # noqa: ASYNC230, PTH123
        upload = asyncio.create_task(
            asyncio.to_thread(client.upload_fileobj, readable, job.bucket, job.key, Config=config)
        )
        await _write_blocks(writable, source)
        writable.close()
        await upload


async def s3fs(job: Job, source: Packets) -> None:
    import s3fs

    def open_file() -> BinaryIO:
        filesystem = s3fs.S3FileSystem(
            key=job.access_key_id,
            secret=job.secret_access_key,
            max_concurrency=job.in_flight,
            skip_instance_cache=True,
            client_kwargs={"endpoint_url": job.endpoint, "region_name": job.region, "verify": job.ca_file},
            config_kwargs={
                "s3": {"payload_signing_enabled": False, "addressing_style": "path"},
                "request_checksum_calculation": "when_required",
            },
        )
        return filesystem.open(f"{job.bucket}/{job.key}", "wb", block_size=job.part)

    await _write_file(open_file, source)


async def smart_open(job: Job, source: Packets) -> None:
    """It sends one part at a time, whatever ``in_flight`` says."""
    from smart_open import open as open_smart

    def open_file() -> BinaryIO:
        parameters = {"client": _boto3_client(job), "min_part_size": job.part}
        return open_smart(f"s3://{job.bucket}/{job.key}", "wb", transport_params=parameters)

    await _write_file(open_file, source)


async def _write_file(open_file: Callable[[], BinaryIO], source: Packets) -> None:
    file = await asyncio.to_thread(open_file)
    await _write_blocks(file, source)
    await asyncio.to_thread(file.close)


async def _write_blocks(file: Any, source: Packets) -> None:
    async for block in blocks(source):
        await asyncio.to_thread(_write_all, file, block)


def _write_all(file: Any, block: bytes) -> None:
    view = memoryview(block)
    while view:  # an unbuffered pipe may take less
        view = view[file.write(view) :]


# -- programs -----------------------------------------------------------------------------------------

AWS_CONFIG = """\
[default]
request_checksum_calculation = when_required
s3 =
    max_concurrent_requests = {in_flight}
    multipart_chunksize = {part}
    multipart_threshold = {part}
    payload_signing_enabled = false
    addressing_style = path
"""


async def aws_cli(job: Job, source: Packets) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".cfg") as config:
        config.write(AWS_CONFIG.format(in_flight=job.in_flight, part=job.part))
        config.flush()
        environment = {
            "AWS_ACCESS_KEY_ID": job.access_key_id,
            "AWS_SECRET_ACCESS_KEY": job.secret_access_key,
            "AWS_CONFIG_FILE": config.name,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CA_BUNDLE": job.ca_file or "",
        }
        target = f"s3://{job.bucket}/{job.key}"
        command = ["s3", "cp", "-", target, "--endpoint-url", job.endpoint, "--region", job.region]
        await _pipe_into("aws", command, environment, source)


async def rclone(job: Job, source: Packets) -> None:
    settings = {
        "provider": "Other",
        "endpoint": job.endpoint,
        "access_key_id": job.access_key_id,
        "secret_access_key": job.secret_access_key,
        "region": job.region,
        "chunk_size": f"{job.part}B",
        "upload_concurrency": str(job.in_flight),
        "no_check_bucket": "true",
        "disable_checksum": "true",
    }
    environment = {f"RCLONE_S3_{name.upper()}": value for name, value in settings.items()}
    environment |= {"RCLONE_CONFIG": os.devnull, "RCLONE_CA_CERT": job.ca_file or ""}
    command = ["rcat", f":s3:{job.bucket}/{job.key}", "--streaming-upload-cutoff", "5M"]
    await _pipe_into("rclone", command, environment, source)


async def _pipe_into(name: str, arguments: Sequence[str], environment: dict[str, str], source: Packets) -> None:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    given = {name: value for name, value in environment.items() if value}
    process = await asyncio.create_subprocess_exec(
        program(name) or name,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env=inherited | given,
    )
    CHILDREN.add(process.pid)
    assert process.stdin is not None
    assert process.stderr is not None
    try:
        async for block in blocks(source):
            process.stdin.write(block)
            await process.stdin.drain()
    except (BrokenPipeError, ConnectionResetError):
        pass  # its own words follow
    process.stdin.close()
    words = await process.stderr.read()
    if await process.wait():
        raise RuntimeError(f"{name} failed: {words.decode(errors='replace')[-300:].strip()}")


ALL = {
    entry.name: entry
    for entry in (
        Contender("penstock", penstock),
        Contender("obstore", obstore, ["obstore"]),
        Contender("opendal", opendal, ["opendal"]),
        Contender("boto3", boto3, ["boto3"]),
        Contender("s3fs", s3fs, ["s3fs"]),
        Contender("smart_open", smart_open, ["smart_open", "boto3"]),
        Contender("aws s3 cp", aws_cli, program="aws"),
        Contender("rclone rcat", rclone, program="rclone"),
        Contender("(source alone)", source_alone),
    )
}
