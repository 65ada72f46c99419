"""Nodes that speak and listen."""
