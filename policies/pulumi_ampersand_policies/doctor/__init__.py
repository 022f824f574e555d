"""What ``pulumi-ampersand doctor`` looks at, one module each: this installation, the engine, policy packs, the API.

Checks yield notes. They import what they need themselves, for they must work where that is missing; none imports
``pulumi``.
"""
