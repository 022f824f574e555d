"""A local stand-in for the Ampersand API, to try this package without an account and to test against.

As a command: ``pulumi-ampersand sandbox --scenario mixed`` prints the environment variables to set, then serves until
it is interrupted. In Python: `Sandbox`, a context manager. Both need the extra: ``pip install
'pulumi-ampersand[sandbox]'``.

It answers the API's four calls as the vendor does (list projects, list connections, get a connection, ask for a
re-authorisation link), checks the API key, and can be told to fail in the ways that networks and servers fail. Nothing
in it is
real: no request leaves the computer, and every credential is made up.
"""

from pulumi_ampersand.sandbox.data import Project
from pulumi_ampersand.sandbox.errors import AddressError, DataError, ExtraMissingError, FaultError, SandboxError
from pulumi_ampersand.sandbox.faults import Fault
from pulumi_ampersand.sandbox.request_log import RequestKind, RequestRecord
from pulumi_ampersand.sandbox.scenarios import SCENARIOS
from pulumi_ampersand.sandbox.server import DEFAULT_SCENARIO, Sandbox
from pulumi_ampersand.sandbox.state import DEFAULT_API_KEY

__all__ = [
    "DEFAULT_API_KEY",
    "DEFAULT_SCENARIO",
    "SCENARIOS",
    "AddressError",
    "DataError",
    "ExtraMissingError",
    "Fault",
    "FaultError",
    "Project",
    "RequestKind",
    "RequestRecord",
    "Sandbox",
    "SandboxError",
]
