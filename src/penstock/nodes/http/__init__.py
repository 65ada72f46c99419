"""The two ends of a oneshot run: its request and its answer."""
