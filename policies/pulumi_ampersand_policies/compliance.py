"""Controls of compliance frameworks that plainly ask for what a rule checks.

A rule names a control only where an assessor would take the rule's verdict as evidence for it; most rules are about
availability, which no control of these frameworks asks of single credentials.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Framework(NamedTuple):
    """A compliance framework.

    Attributes:
        name: Its short name.
        version: The edition that the references are of.
        specification: Its title.
    """

    name: str
    version: str
    specification: str


class Control(NamedTuple):
    """One control of a framework.

    Attributes:
        framework: The framework.
        reference: The control's number, "AC-6" for example.
        subject: What it is about, in a few words.
    """

    framework: Framework
    reference: str
    subject: str

    def __str__(self) -> str:
        return f"{self.framework.name} {self.reference}"


SOC_2: Final = Framework("SOC 2", "2017 (points of focus 2022)", "AICPA Trust Services Criteria")
ISO_27001: Final = Framework("ISO/IEC 27001", "2022", "Information security management systems, Annex A")
NIST_800_53: Final = Framework("NIST SP 800-53", "Revision 5", "Security and Privacy Controls")

LEAST_PRIVILEGE: Final = (
    Control(SOC_2, "CC6.3", "access follows least privilege"),
    Control(ISO_27001, "A.8.3", "access to information is restricted"),
    Control(NIST_800_53, "AC-6", "least privilege"),
)
AUTHENTICATION: Final = (
    Control(SOC_2, "CC6.1", "logical access requires authentication"),
    Control(ISO_27001, "A.8.5", "secure authentication"),
    Control(NIST_800_53, "IA-9", "services are authenticated"),
)
AUTHENTICATOR_AGE: Final = (Control(NIST_800_53, "IA-5", "authenticators are changed after a set time"),)
EXTERNAL_SYSTEMS: Final = (
    Control(ISO_27001, "A.5.23", "use of cloud services is governed"),
    Control(NIST_800_53, "AC-20", "use of external systems is restricted to those allowed"),
)
SEPARATION: Final = (Control(ISO_27001, "A.8.31", "development, test and production are separate"),)
UNUSED_ACCESS: Final = (
    Control(ISO_27001, "A.5.18", "access rights are removed when not needed"),
    Control(NIST_800_53, "AC-2", "access that is inactive for a set time is disabled"),
)
