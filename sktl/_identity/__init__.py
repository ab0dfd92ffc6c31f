"""Which value is which, for all that is shared, kept or resumed."""

from sktl._identity import _code, _objects, _values  # noqa: F401 - they say how values are taken in
from sktl._identity._keys import callbacks_that_matter, cannot_be_resumed, key_of, key_of_object, key_of_settings
from sktl._identity._objects import add_hooks
from sktl._identity._unchanged import Unchanged, note_of
from sktl._identity._walk import ENVIRONMENT, Identity, Walk, identify

__all__ = [
    "ENVIRONMENT",
    "Identity",
    "Unchanged",
    "Walk",
    "add_hooks",
    "callbacks_that_matter",
    "cannot_be_resumed",
    "identify",
    "key_of",
    "key_of_object",
    "key_of_settings",
    "note_of",
]
