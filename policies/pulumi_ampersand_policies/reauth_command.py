"""The command ``pulumi-ampersand reauth``."""

from __future__ import annotations

import os

import click

from pulumi_ampersand.errors import AmpersandError, SettingsError


@click.command()
@click.argument("connection_id")
@click.option("--project", help="Project of the connection, ID or name.  [default: AMP_PROJECT]")
def reauth(connection_id: str, project: str | None) -> None:
    """Print a link at which the customer authorises a connection again.

    The link is for that customer alone. The API key is read from AMP_API_KEY, the API's root from AMP_API_URL.
    """
    from pulumi_ampersand.client import Client  # noqa: PLC0415 - --help needs no HTTP
    from pulumi_ampersand.settings import Settings  # noqa: PLC0415

    settings = Settings()
    try:
        with Client(settings.resolve({}, os.environ)) as client:
            click.echo(client.reauthorization_url(project or settings.project_in({}, os.environ), connection_id))
    except AmpersandError as error:
        click.echo(f"Error: {error}", err=True)
        raise SystemExit(2 if isinstance(error, SettingsError) else 3) from None
