"""Tests of your own rules; run them with pytest."""

from own_rules import OWN_RULES

from pulumi_ampersand_policies.testing import UNKNOWN, assert_rule, connection, inventory

(NAMED_CUSTOMERS,) = OWN_RULES


def test_named_customers():
    """A group without a name breaks the rule; one with a name keeps it."""
    named = connection("named", group={"groupRef": "acme", "groupName": "Acme Ltd"})
    nameless = connection("nameless", group={"groupRef": "acme"})
    assert_rule(NAMED_CUSTOMERS, inventory(named, nameless), breaks={"nameless": "has no name"})


def test_named_customers_while_they_are_unknown():
    """What a preview doesn't know yet isn't judged."""
    assert_rule(NAMED_CUSTOMERS, UNKNOWN, not_evaluated={"": "until the update"})
