"""Rules for Ampersand connections: a Pulumi policy pack and an audit that say the same.

The folder's order is the data's way: an inventory (`pulumi_ampersand.inventory`) meets the rules (`rules`) under a
configuration (`configuration`), which gives findings (`evaluation`); `pack` shows them to Pulumi.
"""
