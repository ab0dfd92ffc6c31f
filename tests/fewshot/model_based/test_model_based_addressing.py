"""The external memory, against plain NumPy."""

import numpy as np
import torch

from sktl.fewshot.model_based._memory import Memory, addresses, least_used, written


def softmax(values):
    exp = np.exp(values - values.max())
    return exp / exp.sum()


def cosine(a, b):
    return a @ b / np.sqrt((a @ a + 1e-4) * (b @ b + 1e-4))


def step(slots, usage, reads, keys, gate, sharpness, decay):
    """Return one task's memory after one step, by the paper's equations head by head."""
    n_heads, n_slots = reads.shape
    rarest = np.argsort(usage, kind="stable")[:n_heads]
    slots = slots.copy()
    slots[rarest] = 0
    writes = np.zeros((n_heads, n_slots))
    for h in range(n_heads):
        for i in range(n_slots):
            writes[h, i] = gate[h] * reads[h, i] + (1 - gate[h]) * (i == rarest[h])
            slots[i] = slots[i] + writes[h, i] * keys[h]
    reads = np.stack([softmax(np.array([sharpness * cosine(keys[h], slot) for slot in slots])) for h in range(n_heads)])
    usage = np.array([decay * usage[i] + reads[:, i].sum() + writes[:, i].sum() for i in range(n_slots)])
    return slots, usage, reads


def test_a_step_is_the_papers():
    rng = np.random.default_rng(0)
    n_tasks, n_slots, size, n_heads, n_steps = 3, 7, 5, 2, 6
    memory = Memory.empty(n_tasks, n_slots, size, n_heads, torch.zeros(1, dtype=torch.float64))
    expected = [tuple(part[task].numpy() for part in memory) for task in range(n_tasks)]
    for _ in range(n_steps):
        keys, gate = rng.normal(size=(n_tasks, n_heads, size)), rng.random((n_tasks, n_heads))
        memory = written(memory, torch.from_numpy(keys), torch.from_numpy(gate).unsqueeze(-1), 4.0, 0.9)
        expected = [step(*parts, keys[task], gate[task], 4.0, 0.9) for task, parts in enumerate(expected)]
        for task, parts in enumerate(expected):
            for found, part in zip(memory, parts):
                np.testing.assert_allclose(found[task].numpy(), part, atol=1e-10)


def test_the_slot_unused_for_longest_is_overwritten_and_the_others_kept():
    """With the gate closed, heads write to unused slots in turn; a slot that is read again stays longer."""
    keys = torch.eye(4, dtype=torch.float64).unsqueeze(1)  # four keys, one a step
    memory = Memory.empty(1, 3, 4, 1, keys)
    gate = torch.zeros(1, 1, 1, dtype=torch.float64)
    for key in keys[:3]:
        memory = written(memory, key.unsqueeze(0), gate, 100.0, 0.9)
    np.testing.assert_allclose(memory.slots[0].numpy(), np.eye(4)[:3], atol=1e-5)
    read_again = memory._replace(usage=memory.usage + addresses(keys[:1], memory.slots, 100.0)[:, 0])
    overwritten = written(read_again, keys[3:4], gate, 100.0, 0.9).slots[0].numpy()
    np.testing.assert_allclose(overwritten, np.eye(4)[[0, 3, 2]], atol=1e-5)
    oldest = written(memory, keys[3:4], gate, 100.0, 0.9).slots[0].numpy()
    np.testing.assert_allclose(oldest, np.eye(4)[[3, 1, 2]], atol=1e-5)


def test_an_open_gate_writes_to_where_was_read_last():
    memory = Memory(torch.zeros(1, 3, 2), torch.tensor([[5.0, 0.0, 1.0]]), torch.tensor([[[0.0, 0.0, 1.0]]]))
    after = written(memory, torch.ones(1, 1, 2), torch.ones(1, 1, 1), 1.0, 0.9)
    np.testing.assert_array_equal(after.slots[0].numpy(), [[0, 0], [0, 0], [1, 1]])


def test_ties_in_usage_go_to_the_first_slot():
    np.testing.assert_array_equal(least_used(torch.tensor([[1.0, 0, 0, 0]]), 2)[0], [[0, 1, 0, 0], [0, 0, 1, 0]])


def test_a_cleared_slot_has_a_gradient():
    slots = torch.zeros(1, 3, 2, requires_grad=True)
    addresses(torch.ones(1, 1, 2), slots, 10.0)[0, 0, 0].backward()
    assert bool(slots.grad.isfinite().all())
    assert float(slots.grad.abs().max()) < 1e4
