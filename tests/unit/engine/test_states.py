import pytest

from penstock.engine.states import IllegalTransition, NodeState, check_transition


@pytest.mark.parametrize("old", [s for s in NodeState if s not in (NodeState.STOPPED, NodeState.FAILED)])
def test_a_node_may_stop_from_anywhere(old):
    check_transition(old, NodeState.STOPPED)


@pytest.mark.parametrize("old", [NodeState.STOPPED, NodeState.FAILED])
@pytest.mark.parametrize("new", list(NodeState))
def test_nothing_follows_an_end(old, new):
    with pytest.raises(IllegalTransition):
        check_transition(old, new)


def test_recovering_leads_back_and_degraded_does_not():
    check_transition(NodeState.RECOVERING, NodeState.RUNNING)
    with pytest.raises(IllegalTransition, match="from degraded to running"):
        check_transition(NodeState.DEGRADED, NodeState.RUNNING)
