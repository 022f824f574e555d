"""A policy pack with the rules of pulumi-ampersand and your own."""

from own_rules import OWN_RULES

from pulumi_ampersand_policies.pack import serve
from pulumi_ampersand_policies.rules import RULES

serve([*RULES, *OWN_RULES])
