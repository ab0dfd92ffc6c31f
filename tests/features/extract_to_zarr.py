"""Write codes block by block, each with a short rest; argv: picture file, folder, log of the network."""

import sys
import time

import numpy as np
import torch
from counting_network import counting_network

from sktl import CNNCodesTransformer
from sktl.features import _codes_to_zarr, codes_to_zarr
from sktl.features._codes_folder import CodesFolder

torch.set_num_threads(1)
pictures = np.load(sys.argv[1])
transformer = CNNCodesTransformer(
    counting_network(sys.argv[3]),
    layers="body",
    pooling="flatten",
    image_size=24,
    engine="torch",
    n_jobs=1,
    device="cpu",
)
write = CodesFolder.write


def slowly(self, *arguments) -> None:
    write(self, *arguments)
    time.sleep(0.05)


_codes_to_zarr.CodesFolder.write = slowly
transformer.transform(pictures[:2])
print("ready", flush=True)
codes_to_zarr(transformer, pictures, sys.argv[2], block_size=2)
