"""Nodes that read and write objects in stores."""
