"""Rules of your own. Each is configured, waived, tolerated and reported like those of pulumi-ampersand."""

from pulumi_ampersand_policies.rule import Breach, Enforcement, Options, Rule, Severity


def named_customers(inventory, options, now):
    """Yield a breach for each connection that breaks the rule, an Unverified for each that can't be judged."""
    for entry in inventory:
        if entry.connection.group is None or not entry.connection.group.name:
            yield Breach("its customer has no name", entry)


OWN_RULES = (
    Rule(
        id="named-customers",
        title="Every customer has a name",
        severity=Severity.LOW,
        enforcement=Enforcement.ADVISORY,
        remediation="Name the group of connection {connection} in Ampersand",
        check=named_customers,
        options=Options,
    ),
)
