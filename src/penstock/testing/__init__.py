"""For those who write nodes and stores: contract suites, ``run_node``, scripted faults, a virtual clock, real servers.

Needs pytest; nothing in penstock outside this package imports it.
"""

from penstock.stores.layers.faults import FaultLayer, FaultScript
from penstock.testing.clock import run_in_virtual_time
from penstock.testing.harness import FakeContext, NodeResult, run_node

__all__ = ["FakeContext", "FaultLayer", "FaultScript", "NodeResult", "run_in_virtual_time", "run_node"]
