"""Audio nodes: codecs and filters."""
