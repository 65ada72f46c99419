"""What a class must have to be a node is said where the class is written, not when the first packet comes."""

import pytest

from penstock.nodes.base import NoConfig, Node, Transform, node
from penstock.nodes.registry import BrokenPlugin, Registry
from penstock.pins import BINARY, InputPin, OutputPin

ONE_IN_ONE_OUT = {"inputs": [InputPin("in", (BINARY,))], "outputs": [OutputPin("out", BINARY)]}


class Silent(Transform[NoConfig]):
    """Forgets to process."""


class Idle(Node[NoConfig]):
    """Forgets to run."""


class Misspelt(Transform[NoConfig]):
    """Has a method of nearly the right name."""

    def proces(self, packet):
        return packet


class Whole(Misspelt):
    """Has all that is needed, by its base and by itself."""

    def process(self, packet, /):
        return self.proces(packet)


@pytest.mark.parametrize(
    ("cls", "message"),
    [
        (Silent, "Silent: a Transform needs a method process"),
        (Idle, "Idle: a Node needs a method run"),
        (Misspelt, "Misspelt: a Transform needs a method process"),
    ],
)
def test_a_class_without_the_method_of_its_shape_is_no_node(cls, message):
    with pytest.raises(TypeError, match=message):
        node("acme::it", **ONE_IN_ONE_OUT)(cls)
    with pytest.raises(TypeError, match="abstract"):
        cls(NoConfig())


def test_a_class_with_it_is_one():
    assert node("acme::it", **ONE_IN_ONE_OUT)(Whole)(NoConfig()).process(1) == 1
    assert Whole.Config is NoConfig


@pytest.mark.parametrize("pins", [{}, {"inputs": [InputPin("a", (BINARY,))], "outputs": ONE_IN_ONE_OUT["outputs"]}])
def test_a_transform_with_other_pins_is_none(pins):
    with pytest.raises(TypeError, match="exactly one pin 'in' and one pin 'out'"):
        node("acme::it", **pins)(Whole)


def test_a_plugin_whose_class_lacks_it_is_named_with_what_it_lacks(tmp_path, monkeypatch):
    (tmp_path / "acme_silent.py").write_text(
        "from penstock.nodes.base import NoConfig, Node, node\n@node('acme::it')\nclass It(Node[NoConfig]): pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(BrokenPlugin, match=r"acme_silent:It, which cannot be loaded: .*It: a Node needs a method run"):
        Registry({"acme::it": "acme_silent:It"}).get("acme::it")
