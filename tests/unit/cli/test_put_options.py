"""The options of ``penstock put`` follow from the parameters of the writer, whatever these come to be."""

import subprocess
import sys
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, Field, SecretStr

from penstock.cli.put import PutArguments, configure
from penstock.cli.put_options import parse_parameters, writer_options
from penstock.errors import ConfigurationError
from penstock.nodes.objects.config import ObjectStoreWriterConfig
from penstock.nodes.types import ByteSize


class Group(BaseModel):
    deadline_seconds: float = Field(120.0, description="How long.")


class Model(BaseModel):
    url: str
    spool_limit: Annotated[ByteSize, Field(ge=1)] = Field(1 << 20, description="On disk; see retry_deadline_seconds.")
    resume: bool = Field(default=False, description="Go on.")
    level: Literal["low", "high"] = Field("low", description="How much.")
    labels: dict[str, str] = Field(default_factory=dict, description="Any.")
    key_env: str | None = Field(None, description="Where from.")
    password: SecretStr | None = None
    retry: Group | None = None
    count: int | None = None


def test_every_kind_of_field_becomes_an_option():
    found = {option.flag: (option.kind, option.metavar, option.help) for option in writer_options(Model)}
    assert found == {
        "--spool-limit": ("string", "SIZE", "On disk; see --retry-deadline-seconds.  [default: 1 MiB]"),
        "--resume": ("boolean", "TEXT", "Go on."),
        "--level": ("string", "low|high", "How much.  [default: low]"),
        "--labels": ("object", "NAME=VALUE", "Any. Repeatable."),
        "--key-env": ("string", "VARIABLE", "Where from."),
        "--retry-deadline-seconds": ("number", "SECONDS", "How long.  [default: 120.0]"),
        "--count": ("integer", "NUMBER", ""),
    }


def test_all_parameters_of_the_writer_are_options_but_for_those_with_another_place_and_secrets():
    fields = ObjectStoreWriterConfig.model_fields
    secrets = {name for name, field in fields.items() if "SecretStr" in str(field.annotation)}
    elsewhere = {"url", "endpoint", "bucket", "key", "passthrough", "ambient_credentials"}
    assert {option.path[0] for option in writer_options()} == set(fields) - secrets - elsewhere
    assert "secret_access_key" in secrets


def test_only_what_was_given_is_a_parameter():
    given = {option.name: None for option in writer_options()}
    assert parse_parameters({**given, "probe": False, "metadata": []}) == {}
    values = {"probe": True, "metadata": ["a=b=c"], "rotate_bytes": "1MiB", "rotate_seconds": 5.0, "acl": "private"}
    assert parse_parameters({**given, **values}) == {
        "probe": True,
        "metadata": {"a": "b=c"},
        "rotate": {"bytes": "1MiB", "seconds": 5.0},
        "acl": "private",
    }


def test_the_endpoint_is_the_store_of_an_s3_url_and_credentials_are_those_of_the_machine():
    given = PutArguments("-", "s3://takes/a.ogg", endpoint="http://127.0.0.1:9000")
    config = configure(given, "-", "s3://takes/a.ogg")
    assert (config.endpoint, config.bucket, config.key) == ("http://127.0.0.1:9000", "takes", "a.ogg")
    assert config.ambient_credentials
    with pytest.raises(ConfigurationError, match="goes with an s3:// URL"):
        configure(given, "-", "gs://takes/a.ogg")


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("s3://takes/", "100% {{a}} #?.ogg"),
        ("s3://takes/2026/", "2026/100% {{a}} #?.ogg"),
        ("https://host/takes/2026/", "2026/100% {{a}} #?.ogg"),
        ("gs://takes/2026/", "2026/100% {{a}} #?.ogg"),
        ("memory://takes/", "100% {{a}} #?.ogg"),
        ("file:takes/{uuid}/", "{uuid}/100% {{a}} #?.ogg"),
    ],
)
def test_a_url_that_ends_in_a_slash_takes_the_name_of_the_file(url, key):
    source = "some/100% {a} #?.ogg"
    assert configure(PutArguments(source, url), source, url).location().key == key


def test_a_stop_drops_a_file_and_commits_a_stream_unless_the_person_says_otherwise(tmp_path):
    file = str(tmp_path / "in")
    (tmp_path / "in").touch()
    url = "memory://takes/a"
    assert configure(PutArguments(file, url), file, url).on_cancel == "abort"
    assert configure(PutArguments(file, url, parameters={"on_cancel": "commit"}), file, url).on_cancel == "commit"
    assert configure(PutArguments(None, url, ("true",)), None, url).on_cancel == "commit"


def test_the_models_are_not_loaded_for_the_help_of_other_commands():
    script = (
        "import sys; from typer.testing import CliRunner; from penstock.cli import app; "
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0; "
        "print([name for name in sys.modules if name.startswith(('pydantic', 'anyio', 'penstock.nodes'))])"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert shown.stdout == "[]\n"
