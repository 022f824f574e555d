"""The data source in the real engine."""

import pytest
from conftest import MakeStack
from pulumi_ampersand.sandbox import Sandbox

pytestmark = pytest.mark.engine

PROGRAM = """
import pulumi
import pulumi_ampersand as ampersand

found = ampersand.Connections("all")
pulumi.export("ids", found.ids)
"""


def test_results_are_known_during_preview(make_stack: MakeStack, sandbox: Sandbox) -> None:
    """A first preview shows the connections that the API has."""
    preview = make_stack(PROGRAM).preview(check=True)
    assert all(connection["id"] in preview.out for connection in sandbox.connections)
