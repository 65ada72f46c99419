"""A bucket behind a gate, and a state directory, for each test."""

import random

import pytest

from torture.place import place_at


@pytest.fixture
def place(seaweedfs, tmp_path):
    with place_at(seaweedfs, tmp_path / "state") as place:
        yield place


@pytest.fixture
def dice():
    return random.Random(4)
