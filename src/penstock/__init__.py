"""Carry live media and data into object storage without losing a byte."""

__version__ = "0.1.0"
