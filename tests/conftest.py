"""What every test shares: the event loop that penstock runs on, and the servers."""

import pytest
from hypothesis import settings

from penstock.testing.azurite import azurite  # noqa: F401 - a fixture
from penstock.testing.gcs import gcs  # noqa: F401 - a fixture
from penstock.testing.seaweedfs import seaweedfs  # noqa: F401 - a fixture
from support.clients import s3_client

# How long an example takes says more about what else the machine does than about the code.
settings.register_profile("penstock", deadline=None)
settings.load_profile("penstock")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def client(seaweedfs):  # noqa: F811 - the server above
    """A client of SeaweedFS that is not ours."""
    with s3_client(seaweedfs) as client:
        yield client
