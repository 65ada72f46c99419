from hypothesis import given
from hypothesis import strategies as st

from penstock.engine.cycles import MAX_CYCLES, sort_nodes


@st.composite
def graphs(draw):
    count = draw(st.integers(1, 12))
    names = [f"n{i}" for i in range(count)]
    return {name: draw(st.lists(st.sampled_from(names), max_size=3)) for name in names}


def reaches_itself(sources: dict[str, list[str]], name: str) -> bool:
    seen: set[str] = set()
    todo = list(sources[name])
    while todo:
        upstream = todo.pop()
        if upstream == name:
            return True
        if upstream not in seen:
            seen.add(upstream)
            todo += sources[upstream]
    return False


@given(graphs())
def test_every_node_is_ordered_once_and_cycles_are_found_if_and_only_if_there_are_any(sources):
    order, cycles = sort_nodes(sources)
    assert sorted(order) == sorted(sources)
    assert bool(cycles) == any(reaches_itself(sources, name) for name in sources)
    if not cycles:
        place = {name: index for index, name in enumerate(order)}
        assert all(place[source] < place[name] for name, fed_by in sources.items() for source in fed_by)


@given(graphs())
def test_every_cycle_is_real_simple_and_shares_no_node_with_another(sources):
    cycles = sort_nodes(sources)[1]
    for cycle in cycles:
        for source, target in zip(cycle, [*cycle[1:], cycle[0]], strict=True):
            assert source in sources[target]
    members = [name for cycle in cycles for name in cycle]
    assert len(members) == len(set(members))


@given(graphs(), st.data())
def test_without_its_looping_nodes_a_graph_has_the_same_verdict(sources, data):
    loops = data.draw(st.sets(st.sampled_from(sorted(sources))))
    kept = {name: [s for s in fed_by if s not in loops] for name, fed_by in sources.items() if name not in loops}
    assert bool(sort_nodes(sources, loops)[1]) == bool(sort_nodes(kept)[1])


@given(st.permutations([f"n{i}" for i in range(6)]))
def test_nodes_without_edges_keep_their_order(names):
    assert sort_nodes({name: [] for name in names}) == (names, [])


def test_the_number_of_cycles_is_bounded():
    for count in (MAX_CYCLES - 1, MAX_CYCLES, MAX_CYCLES + 1):
        order, cycles = sort_nodes({f"n{i}": [f"n{i}"] for i in range(count)})
        assert (len(order), len(cycles)) == (count, min(count, MAX_CYCLES))
