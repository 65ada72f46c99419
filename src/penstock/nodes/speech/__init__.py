"""Nodes that speak."""
