"""The torture of durability: real processes, a real store, a bad way between them, and SIGKILL at any moment.

``make torture`` runs the long form (``__main__``), ``make test`` the test modules of this directory.
"""
