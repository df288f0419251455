"""What can go wrong in the registry, named for what the caller should do about it.

    RegistryFault
    ├── NotAccepted      mend what was given: a name, a file, a card
    ├── NotThere         name another artefact, version or alias
    ├── Damaged          what is stored is not what was put: put it again, or use another version
    └── Busy             another process is at it: come back later

Each message says what to do.
"""

from __future__ import annotations


class RegistryFault(Exception):
    """Root of the tree."""


class NotAccepted(RegistryFault):
    pass


class NotThere(RegistryFault):
    pass


class Damaged(RegistryFault):
    pass


class Busy(RegistryFault):
    pass
