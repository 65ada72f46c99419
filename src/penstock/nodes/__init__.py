"""The workers: node classes by family, and the registry through which the engine meets them."""
