"""The schedule of paced packets, which is told the time."""

from penstock.nodes.flow.schedule import Schedule


def test_what_is_overdue_stays_so_at_another_speed():
    schedule = Schedule(1.0)
    schedule.arrived(0, 0)
    schedule.played(1.0)
    schedule.set_speed(2.0, 5.0)
    assert schedule.due_s == 1.0


def test_nothing_is_waited_for_before_the_first_packet():
    assert Schedule(1.0).due_s == float("-inf")
