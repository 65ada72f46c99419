"""What the check sees of ports, buckets and media types: each finding with its place."""

import pytest

from penstock.engine.load import check_text
from penstock.errors import PipelineInvalid

FILE = """
nodes:
  source: {{kind: core::file_reader, params: {{path: a}}}}
  object:
    kind: core::object_store_writer
    params:
      ambient_credentials: true
{params}
    needs: source
"""


def findings(*params, monkeypatch=None):
    text = FILE.format(params="\n".join(f"      {one}" for one in params))
    try:
        check_text(text, file="take.yml", env={})
    except PipelineInvalid as invalid:
        return [str(finding) for finding in invalid.findings]
    return []


PLACE = ("endpoint: http://localhost:9000", "bucket: takes", "key: k")


@pytest.fixture(autouse=True)
def amazon_is_amazon(monkeypatch):
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("port", ["0", "65536", "99999", "http", "-1"])
def test_a_port_that_is_none_is_found_in_an_endpoint_and_in_a_url(port):
    words = f"has the port '{port}', which is not one: ports are 1 to 65535"
    [finding] = findings(f"endpoint: http://localhost:{port}", *PLACE[1:])
    assert finding == f"take.yml:8:7: nodes.object.params.endpoint: {words}"
    [finding] = findings(f"url: http://localhost:{port}/takes/k")
    assert finding == f"take.yml:8:7: nodes.object.params.url: {words}"


@pytest.mark.parametrize(
    "endpoint", ["http://localhost", "http://localhost:1", "https://h:65535", "http://[::1]:9000", "http://[::1]"]
)
def test_a_port_that_is_one_or_none_is_right(endpoint):
    assert findings(f"endpoint: '{endpoint}'", *PLACE[1:]) == []


def test_a_bucket_of_amazon_has_amazons_name():
    for place in ("endpoint: s3://", "endpoint: https://s3.eu-central-1.amazonaws.com"):
        [finding] = findings(place, "bucket: My_Takes", "key: k")
        assert finding.startswith("take.yml:9:7: nodes.object.params.bucket: 'My_Takes' is not a bucket name of Amazon")
    [finding] = findings("url: s3://My_Takes/k")
    assert finding.startswith("take.yml:8:7: nodes.object.params.url: 'My_Takes' is not a bucket name of Amazon S3")


def test_a_bucket_elsewhere_may_have_others(monkeypatch):
    assert findings(PLACE[0], "bucket: My_Takes", "key: k") == []
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://localhost:9000")
    assert findings("url: s3://My_Takes/k") == []


def test_a_bucket_that_fits_no_url_is_found_everywhere():
    [finding] = findings(PLACE[0], "bucket: my takes", "key: k")
    assert finding.startswith("take.yml:9:7: nodes.object.params.bucket: 'my takes' is not a bucket name: letters")


@pytest.mark.parametrize("value", [r'"audio/ogg\r\nx: y"', r'"a\nb"', '"ü"', '" a"'])
def test_a_content_type_that_is_no_header_is_found(value):
    [finding] = findings(*PLACE, f"content_type: {value}")
    assert finding.startswith("take.yml:11:7: nodes.object.params.content_type: must be printable ASCII")
