"""Nodes of the core that take packets of any type: they hand them on, pace, tell of, write down or script them."""
