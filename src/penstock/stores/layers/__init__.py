"""Stores that wrap a store: each adds one behaviour and forwards the rest."""
