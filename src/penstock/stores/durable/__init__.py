"""Uploads that outlive their process: the spool, which is their journal, and what goes on with it."""

from penstock.stores.durable.directory import StateDirectory
from penstock.stores.durable.limits import SpoolLimits
from penstock.stores.durable.record import UploadRecord
from penstock.stores.durable.spool import Spool

__all__ = ["Spool", "SpoolLimits", "StateDirectory", "UploadRecord"]
