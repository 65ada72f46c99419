"""A web server for the modules that say in ``ANSWERS`` what it answers, by path."""

import pytest

from support.web import answering, serving


@pytest.fixture(scope="module")
def seen():
    """The requests that have come."""
    return []


@pytest.fixture(scope="module")
def url(request, seen):
    """Where the server is."""
    with serving(answering(request.module.ANSWERS, seen)) as base:
        yield base
