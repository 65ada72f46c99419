"""From a pipeline file to a run: text, spec, graph, wired nodes, each a pure step from the last; then it runs."""
