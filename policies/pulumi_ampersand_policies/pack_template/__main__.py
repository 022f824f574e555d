"""A policy pack with the rules of pulumi-ampersand and your own."""

from own_rules import OWN_RULES

from pulumi_ampersand_policies.pack import serve
from pulumi_ampersand_policies.rules import RULES

# For a pack that you publish: serve([...], name="ours", version="1.0.0")
serve([*RULES, *OWN_RULES])
