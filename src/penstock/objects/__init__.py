"""Stream bytes from a Python program into an object.

With an event loop, and for programs without one the same as a file::

    async with penstock.open_object("s3://takes/2026/{uuid}.ogg", content_type="audio/ogg") as out:
        await out.write(data)
    print(out.result.digest)

    with penstock.open_object_sync("s3://takes/2026/{uuid}.ogg", content_type="audio/ogg") as out:
        out.write(data)

It is the writer of ``core::object_store_writer``, with the same parameters.
"""

from penstock.objects.blocking import ObjectFile, open_object_sync
from penstock.objects.session import open_object

__all__ = ["ObjectFile", "open_object", "open_object_sync"]
