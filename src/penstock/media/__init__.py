"""Knowledge of media that nodes, tools and tests share: Opus headers and packets, sample clocks, probing files."""
