"""Nodes that move packets without looking into them."""
