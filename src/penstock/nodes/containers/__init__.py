"""Container nodes: demuxers and muxers."""
