"""Reading texts, and the encoders that turn them into codes.

`__all__` lists what users call. The other names serve the families of this library; they are internal and may change.
"""

from sktl.texts._as_texts import as_texts, is_missing
from sktl.texts._batches import Windows, batches_of, digests_of
from sktl.texts._encoder import LONG_TEXTS, POOLINGS, TextEncoder
from sktl.texts._engines import ENGINES, PRECISIONS, get_engine, planned_engine, resolve_text_precision
from sktl.texts._loading import ENCODERS, installed_encoders, load_encoder
from sktl.texts._recipe import TextRecipe

__all__ = ["as_texts"]
