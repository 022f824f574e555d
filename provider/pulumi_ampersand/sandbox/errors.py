"""What can be wrong with what the sandbox was given.

`SandboxError` is the base: its text is one line that says what is wrong, where, and how to mend it.
"""


class SandboxError(Exception):
    """The sandbox can't run as asked."""


class DataError(SandboxError):
    """The data to serve can't be used: no such scenario, or a file that can't be read or holds no connections."""


class FaultError(SandboxError):
    """A fault is not written as it should be."""


class AddressError(SandboxError):
    """The address can't be listened on: the port is in use, or the host is not one of this computer's."""


class ExtraMissingError(SandboxError):
    """The extra `sandbox`, which brings the web server, is not installed."""

    def __init__(self) -> None:
        super().__init__("the sandbox needs its web server: pip install 'pulumi-ampersand[sandbox]'")
