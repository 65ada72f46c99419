"""The commands that have commands of their own: ``penstock nodes`` and ``penstock uploads``."""

from __future__ import annotations

from typing import Annotated

import typer

from penstock.cli.options import EndpointOption, JsonDocument, JsonOption, RegionOption, UploadsPrefix

__all__ = ["nodes_app", "uploads_app"]

nodes_app = typer.Typer(help="Show the kinds of node there are.", no_args_is_help=True)
uploads_app = typer.Typer(help="Show uploads that are not finished.", no_args_is_help=True)


@nodes_app.command("list")
def nodes_list(as_json: JsonOption = False) -> None:
    """List the kinds of node, built in and from plugins."""
    from penstock.cli.nodes import list_command

    list_command(as_json=as_json)


@nodes_app.command("describe")
def nodes_describe(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="Such as core::object_store_writer.")],
    as_json: JsonDocument = False,
) -> None:
    """Show what a kind of node does, its pins and its parameters."""
    from penstock.cli.nodes import describe_command

    describe_command(kind, as_json=as_json)


@uploads_app.command("list")
def uploads_list(
    prefix: UploadsPrefix,
    endpoint: EndpointOption = None,
    region: RegionOption = "us-east-1",
    as_json: JsonOption = False,
) -> None:
    """List the uploads that are open in a store: under way, or left behind by a process that died.

    Each with its age, the parts and bytes that are stored, key and upload id. Credentials of an s3:// URL come from
    AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the other usual places.
    """
    from penstock.cli.uploads import ListArguments, list_command

    list_command(ListArguments(prefix, endpoint, region, as_json))
