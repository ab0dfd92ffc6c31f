"""Kill an extraction at random moments, twenty times; argv: picture file, folder of the store, log of the network.

Prints, after each kill, how many codes the store holds, and writes the codes that the last, undisturbed run returns.
The children are forked before torch has started any thread, so that they are ready at once.
"""

import os
import signal
import sys
import time

import numpy as np
import torch
from counting_network import counting_network

from sktl import CNNCodesTransformer, open_cache

pictures, folder, log = np.load(sys.argv[1]), sys.argv[2], sys.argv[3]
rng = np.random.default_rng(int(sys.argv[4]))
torch.set_num_threads(1)


def extract() -> np.ndarray:
    transformer = CNNCodesTransformer(
        counting_network(log), layers="body", pooling="flatten", image_size=64, batch_size=4, engine="torch",
        n_jobs=1, device="cpu", cache=folder,
    )  # fmt: skip
    return transformer.transform(pictures)


def in_child(work, seconds=None) -> None:
    child = os.fork()
    if not child:
        try:
            work()
        finally:
            os._exit(0)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


for _ in range(20):
    in_child(extract, rng.uniform(0.0, 0.5))
    in_child(lambda: print(open_cache(folder).n_entries, flush=True))
in_child(lambda: np.save("codes.npy", extract()))
