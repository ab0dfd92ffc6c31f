"""Anything a user holds -> uint8 batches."""

from sktl.images._array_source import ArraySource
from sktl.images._as_pictures import as_pictures, checked_range
from sktl.images._item_source import ItemSource
from sktl.images._iter_batches import iter_batches
from sktl.images._numeric_rows import is_numeric_rows
from sktl.images._row_value_range import row_value_range
from sktl.images._shapes import infer_image_shape
from sktl.images._source import PictureSource

__all__ = [
    "ArraySource",
    "ItemSource",
    "PictureSource",
    "as_pictures",
    "checked_range",
    "infer_image_shape",
    "is_numeric_rows",
    "iter_batches",
    "row_value_range",
]
