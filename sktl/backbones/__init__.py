"""Pretrained networks: loading them by name, listing their layers, reading what a layer puts out.

`__all__` lists what users call. The other names serve the families of this library; they are internal and may change.
"""

from sktl._preprocessing import Preprocessing
from sktl.backbones._agreement import agreeing_precision
from sktl.backbones._backbone import Backbone, load_backbone
from sktl.backbones._channels import Normalisation, declared_channels, first_channels
from sktl.backbones._copying import own_copy
from sktl.backbones._embedded import installed_networks
from sktl.backbones._engine import CodeNetwork, Engine, auto_batch_size
from sktl.backbones._engines import ENGINES, get_engine, planned_engine, resuming_engine
from sktl.backbones._fingerprint import NetworkIdentity
from sktl.backbones._headless import cut_head, ends_in_codes, without_heads
from sktl.backbones._heads import PENULTIMATE
from sktl.backbones._layers import LayerInfo, LayerTable, Trace
from sktl.backbones._list_layers import list_layers
from sktl.backbones._pooling import POOLINGS, Pooling, unflattened
from sktl.backbones._provider import Provider
from sktl.backbones._quantisation import (
    CODE_PRECISIONS,
    N_CALIBRATION,
    Calibration,
    photographs,
    resolve_code_precision,
)
from sktl.backbones._recipe import CodeRecipe, block_recipe
from sktl.backbones._registry import list_backbones
from sktl.backbones._selection import layer_info, resolve_layers
from sktl.backbones._small_batches import SmallBatches, filled_up
from sktl.backbones._surgery import (
    LayerOutputs,
    ParameterGroup,
    Suffix,
    calling_owner,
    owner_of,
    parameter_groups,
    split_at,
    trace_of,
)
from sktl.backbones._weights import read_state_dict

__all__ = [
    "ENGINES",
    "POOLINGS",
    "LayerTable",
    "Preprocessing",
    "Provider",
    "list_backbones",
    "list_layers",
]
