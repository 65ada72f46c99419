"""The two ends of a oneshot run, its request and its answer; and a source that fetches from the web."""
