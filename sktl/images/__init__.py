"""Reading pictures, in files or in memory, as uint8 batches.

`__all__` lists what users call. The other names serve the families of this library; they are internal and may change.
"""

from sktl.images._array_source import ArraySource
from sktl.images._as_pictures import as_pictures, checked_range
from sktl.images._augmentations import AUGMENTATIONS, augmented, distorted, with_margin
from sktl.images._encoded import looks_like_base64
from sktl.images._formats import picture_suffixes
from sktl.images._inputs import refuse_mixed_frame
from sktl.images._item_source import ItemSource
from sktl.images._iter_batches import iter_batches
from sktl.images._numeric_rows import is_nested, is_numeric_rows
from sktl.images._row_value_range import row_value_range
from sktl.images._shapes import check_row_width, infer_image_shape, one_picture
from sktl.images._source import PictureSource
from sktl.images._urls import is_url

__all__ = [
    "as_pictures",
    "infer_image_shape",
    "iter_batches",
]
