"""The runnable pack: what ``pulumi preview --policy-pack policies`` starts."""

from pulumi_ampersand_policies.pack import serve

serve()
