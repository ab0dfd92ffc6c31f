"""Temporal convolutions, causal attention and attention to a context, against plain NumPy."""

import threading

import numpy as np
import pytest
import torch
from torch import nn

from sktl.fewshot.model_based._film import FiLM, modulated_by, with_film
from sktl.fewshot.model_based._in_context import ContextLayer
from sktl.fewshot.model_based._temporal import CausalAttention, DenseConvolution

N_TASKS, N, WIDTH = 2, 6, 3


def made(kind, *arguments):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layer = kind(*arguments)
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.copy_(torch.randn(parameter.shape) / 2)
    return layer.double()


def weights(layer):
    return layer.weight.detach().numpy().T, layer.bias.detach().numpy()


def softmax(values):
    exp = np.exp(values - values.max())
    return exp / exp.sum()


@pytest.fixture
def sequence():
    return np.random.default_rng(0).normal(size=(N_TASKS, N, WIDTH))


@pytest.mark.parametrize("dilation", [1, 2, 4, 8])
def test_a_dense_convolution(sequence, dilation):
    layer = made(DenseConvolution, WIDTH, 4, dilation)
    W, b = weights(layer.taps)
    found, _ = layer(torch.from_numpy(sequence), torch.ones(N_TASKS, N, dtype=torch.bool))
    assert found.shape == (N_TASKS, N, WIDTH + 4)
    for task in range(N_TASKS):
        for t in range(N):
            earlier = sequence[task, t - dilation] if t >= dilation else np.zeros(WIDTH)
            z = np.concatenate([earlier, sequence[task, t]]) @ W + b
            expected = np.concatenate([sequence[task, t], np.tanh(z[:4]) / (1 + np.exp(-z[4:]))])
            np.testing.assert_allclose(found[task, t].detach().numpy(), expected, atol=1e-12)


def test_causal_attention(sequence):
    layer = made(CausalAttention, WIDTH, 5, 2)
    (Q, q), (K, k), (V, v) = weights(layer.query), weights(layer.key), weights(layer.value)
    found, _ = layer(torch.from_numpy(sequence), torch.ones(N_TASKS, N, dtype=torch.bool))
    for task in range(N_TASKS):
        x = sequence[task]
        for t in range(N):
            scores = np.array([(x[t] @ Q + q) @ (x[s] @ K + k) / np.sqrt(5) for s in range(t + 1)])
            read = sum(w * (x[s] @ V + v) for s, w in enumerate(softmax(scores)))
            np.testing.assert_allclose(found[task, t].detach().numpy(), np.concatenate([x[t], read]), atol=1e-12)


def test_attention_starts_out_by_likeness():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layer = CausalAttention(64, 32, 8)
    x = torch.randn(200, 1, 64, generator=torch.Generator().manual_seed(0))
    sequence = torch.cat([x, torch.roll(x, 1, 0), torch.roll(x, 2, 0), x], 1)  # the first row comes again
    _, kept = layer(sequence, torch.ones(200, 4, dtype=torch.bool))
    scores = (layer.query(sequence[:, 3:]) @ kept["keys"][:, :3].transpose(1, 2)).squeeze(1)
    assert (scores.argmax(1) == 0).float().mean() > 0.99


LAYERS = [(DenseConvolution, 4, 1), (DenseConvolution, 4, 4), (DenseConvolution, 4, 8), (CausalAttention, 5, 2)]


@pytest.mark.parametrize(("kind", "filters", "reach"), LAYERS)
def test_rows_see_nothing_that_comes_later(kind, filters, reach, sequence):
    layer, is_real = made(kind, WIDTH, filters, reach), torch.ones(N_TASKS, N, dtype=torch.bool)
    changed = sequence.copy()
    changed[:, 4] += 1
    one, other = (layer(torch.from_numpy(x), is_real)[0] for x in (sequence, changed))
    assert torch.equal(one[:, :4], other[:, :4])
    assert not torch.allclose(one[:, 4], other[:, 4])


@pytest.mark.parametrize(("kind", "filters", "reach"), LAYERS)
def test_a_query_is_answered_as_the_row_behind_the_sequence(kind, filters, reach, sequence):
    layer, x = made(kind, WIDTH, filters, reach), torch.from_numpy(sequence)
    whole, _ = layer(x, torch.ones(N_TASKS, N, dtype=torch.bool))
    _, kept = layer(x[:, :-1], torch.ones(N_TASKS, N - 1, dtype=torch.bool))
    answers = layer.ask(kept, torch.stack([x[:, -1], x[:, 0], x[:, -1]], 1))
    torch.testing.assert_close(answers[:, 0], whole[:, -1])
    torch.testing.assert_close(answers[:, 2], whole[:, -1])


@pytest.mark.parametrize(("kind", "filters", "reach"), LAYERS)
def test_padding_in_front_changes_nothing(kind, filters, reach, sequence):
    layer, x = made(kind, WIDTH, filters, reach), torch.from_numpy(sequence)
    padded = torch.cat([torch.zeros(N_TASKS, 3, WIDTH, dtype=x.dtype), x], 1)
    is_real = torch.arange(N + 3).expand(N_TASKS, -1) >= 3
    expected, kept = layer(x, is_real[:, 3:])
    found, kept_padded = layer(padded, is_real)
    torch.testing.assert_close(found[:, 3:], expected)
    torch.testing.assert_close(layer.ask(kept_padded, x), layer.ask(kept, x))


def test_attention_to_a_context(sequence):
    width, n_heads = 4, 2
    layer = made(ContextLayer, width, n_heads)
    rng = np.random.default_rng(1)
    tokens, support, is_kin = (
        rng.normal(size=(1, 3, width)),
        rng.normal(size=(1, 5, width)),
        rng.random((1, 3, 5)) < 0.4,
    )
    is_real = np.array([[True, True, False, True, True]])
    found = layer(
        torch.from_numpy(tokens), layer.context(torch.from_numpy(support)), torch.from_numpy(is_kin),
        torch.from_numpy(is_real),
    )  # fmt: skip

    def norm(x, of):
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
        return x * of.weight.detach().numpy() + of.bias.detach().numpy()

    def linear(x, of):
        W, b = weights(of)
        return x @ W + b

    q = linear(norm(tokens[0], layer.before_attention), layer.query)
    k, v = np.split(linear(norm(support[0], layer.before_attention), layer.keys_values), 2, -1)
    kinship = layer.kinship.detach().numpy()
    for i in range(3):
        read = np.zeros(width)
        for h in range(n_heads):
            part = slice(h * width // n_heads, (h + 1) * width // n_heads)
            scores = np.array([q[i, part] @ k[j, part] / np.sqrt(2) + kinship[h] * is_kin[0, i, j] for j in range(5)])
            scores[~is_real[0]] = -np.inf
            read[part] = softmax(scores) @ v[:, part]
        token = tokens[0, i] + linear(read, layer.read)
        inner = torch.nn.functional.gelu(torch.from_numpy(linear(norm(token, layer.before_change), layer.change[0])))
        expected = token + linear(inner.numpy(), layer.change[2])
        np.testing.assert_allclose(found[0, i].detach().numpy(), expected, atol=1e-10)


def test_modulation_scales_and_shifts_channels_row_by_row():
    layer = FiLM(nn.GroupNorm(1, 3, affine=False), "norm")
    rng = np.random.default_rng(0)
    x, factor, shift = rng.normal(size=(2, 3, 4, 5)), rng.normal(size=(2, 3)), rng.normal(size=(2, 3))
    plain = layer(torch.from_numpy(x)).numpy()
    with modulated_by({"norm": (torch.from_numpy(factor), torch.from_numpy(shift))}):
        found = layer(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(found, (1 + factor[:, :, None, None]) * plain + shift[:, :, None, None], atol=1e-12)
    np.testing.assert_array_equal(layer(torch.from_numpy(x)).numpy(), plain)


def test_a_modulation_is_local_to_its_thread():
    layer, x, seen = FiLM(nn.Identity(), "it"), torch.ones(1, 2), []
    with modulated_by({"it": (torch.ones(1, 2), torch.zeros(1, 2))}):
        other = threading.Thread(target=lambda: seen.append(layer(x)))
        other.start()
        other.join()
        assert float(layer(x).sum()) == 4.0
    assert float(seen[0].sum()) == 2.0


def test_layers_are_modulated_evenly_over_the_depth_the_last_one_too():
    with torch.random.fork_rng(devices=[]):
        network = nn.Sequential(*(nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1)) for _ in range(9)))
        plain = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 5))
    assert list(with_film(network, 3)) == ["0.1", "4.1", "8.1"]
    assert isinstance(network[4][1], FiLM)
    assert not isinstance(network[5][1], FiLM)
    assert with_film(plain, 8) == {"0": 6, "2": 5}
