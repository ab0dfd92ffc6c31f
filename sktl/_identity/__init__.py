"""Which value is which, for all that is shared, kept or resumed."""

from sktl._identity import _code, _objects, _values  # noqa: F401 - they say how values are taken in
from sktl._identity._bystanders import matters
from sktl._identity._objects import add_hooks
from sktl._identity._walk import ENVIRONMENT, Identity, Walk, identify

__all__ = ["ENVIRONMENT", "Identity", "Walk", "add_hooks", "identify", "matters"]
