"""The parameter `retry`, which all that speak to a store have."""

import pytest
from pydantic import ValidationError

from penstock import open_object
from penstock.errors import ConfigurationError
from penstock.nodes.objects.config import ObjectStoreWriterConfig
from penstock.nodes.objects.object_store_reader import ObjectStoreReaderConfig
from penstock.nodes.objects.opening import upload_options
from penstock.stores.layers.retry import RetryPolicy

PLACE = {"url": "memory://takes/key"}


@pytest.mark.parametrize("config", [ObjectStoreWriterConfig, ObjectStoreReaderConfig])
def test_the_defaults_are_those_of_the_store_layer_and_each_can_be_given_alone(config):
    assert config(**PLACE).retry.policy() == RetryPolicy()
    assert config(**PLACE, retry={"deadline_s": 600}).retry.policy() == RetryPolicy(deadline_s=600)


def test_an_upload_follows_the_parameter():
    given = {"deadline_s": 0, "first_wait_s": 0.5, "max_wait_s": 0.5}
    config = ObjectStoreWriterConfig(**PLACE, retry=given)
    assert upload_options(config).retry == RetryPolicy(**given)


@pytest.mark.parametrize(
    "given",
    [
        {"deadline_s": -1},
        {"deadline_s": "nan"},
        {"max_wait_s": float("inf")},
        {"first_wait_s": 2, "max_wait_s": 1},
        {"first_wait_s": 21},
        {"tries": 3},
    ],
    ids=str,
)
def test_times_that_make_no_sense_are_refused(given):
    with pytest.raises(ValidationError) as caught:
        ObjectStoreWriterConfig(**PLACE, retry=given)
    assert caught.value.errors()[0]["loc"][0] == "retry"


async def test_open_object_takes_the_same_and_says_what_is_wrong():
    async with open_object(PLACE["url"], retry={"deadline_s": 1}) as out:
        await out.write(b"x")
    with pytest.raises(ConfigurationError, match=r"retry\.deadline_s: .*greater than or equal to 0"):
        async with open_object(PLACE["url"], retry={"deadline_s": -1}):
            pass


@pytest.mark.parametrize("given", [{"store": "minio"}, {"probe": True}, {"addressing": "path"}], ids=str)
def test_what_is_for_s3_stores_is_refused_by_the_check_of_the_parameters(given):
    name, value = next(iter(given.items()))
    with pytest.raises(ValidationError, match=f"`{name}: {str(value).lower()}` is for S3 stores"):
        ObjectStoreWriterConfig(**PLACE, **given)
