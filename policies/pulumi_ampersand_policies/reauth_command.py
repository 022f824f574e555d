"""The command ``pulumi-ampersand reauth``."""

from __future__ import annotations

import os

import click

from pulumi_ampersand.errors import AmpersandError, NotFoundError, SettingsError


@click.command()
@click.argument("connection_id")
@click.option("--project", metavar="P", help="The connection's project, ID or name.  [default: AMP_PROJECT]")
def reauth(connection_id: str, project: str | None) -> None:
    """Print a link at which the customer authorises a connection again.

    The link is for that customer alone. The API key is read from AMP_API_KEY, the API's root from AMP_API_URL.
    """
    from pulumi_ampersand.client import Client  # noqa: PLC0415 - --help needs no HTTP
    from pulumi_ampersand.settings import API_KEY_VARIABLE, Settings  # noqa: PLC0415

    project = project or os.environ.get("AMP_PROJECT", "").strip()
    if not project:
        raise click.UsageError("no project: give --project, or set AMP_PROJECT")
    try:
        with Client(Settings(api_key_env=API_KEY_VARIABLE).resolve({}, os.environ)) as client:
            click.echo(client.reauthorization_url(project, connection_id))
    except NotFoundError as error:
        click.echo(
            f"Error: {error}; to list connections, run: pulumi-ampersand audit --all-projects --save DIR", err=True
        )
        raise SystemExit(3) from None
    except AmpersandError as error:
        click.echo(f"Error: {error}", err=True)
        raise SystemExit(2 if isinstance(error, SettingsError) else 3) from None
