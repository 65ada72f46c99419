"""What a file says of changes while it runs is checked before it runs."""

import pytest

from penstock.engine.load import check_text
from penstock.errors import GraphError

TEXT = """
{client}
nodes:
  source: {{kind: 'core::file_reader', params: {{path: a.wav}}}}
  decoder: {{kind: 'containers::wav::demuxer', needs: source}}
  volume: {{kind: 'audio::gain', needs: decoder}}
  bridge: {{kind: 'core::param_bridge', params: {{target_node: {target}}}, needs: volume}}
"""


def warnings_of(target="volume", client=""):
    return [str(finding) for finding in check_text(TEXT.format(target=target, client=client), file="p.yml")[1]]


def control(node, name):
    return f"client: {{controls: [{{label: l, type: toggle, node: {node}, property: {name}}}]}}"


def test_what_fits_has_no_findings():
    assert warnings_of() == warnings_of(client=control("volume", "gain")) == []


def test_a_target_that_is_not_there_is_an_error_at_its_place():
    with pytest.raises(GraphError) as caught:
        warnings_of(target="volumen")
    (finding,) = caught.value.findings
    assert str(finding) == (
        "p.yml:7:62: nodes.bridge.params.target_node: there is no node 'volumen'; did you mean 'volume'?"
    )


def test_a_target_of_which_nothing_can_be_set_is_a_warning():
    (warning,) = warnings_of(target="decoder")
    assert warning.endswith("nothing of 'decoder' (containers::wav::demuxer) can be set while it runs")


@pytest.mark.parametrize(
    ("node", "name", "warning"),
    [
        ("volume", "level", "'volume' (audio::gain) has no such parameter that can be set while it runs; it has gain"),
        ("decoder", "gain", "nothing of 'decoder' (containers::wav::demuxer) can be set while it runs"),
        ("nobody", "gain", "there is no such node"),
    ],
)
def test_a_control_that_would_do_nothing_is_a_warning(node, name, warning):
    (found,) = warnings_of(client=control(node, name))
    assert "warning: client.controls.0." in found
    assert warning in found
