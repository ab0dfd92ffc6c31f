"""Networks that are reparametrised or compiled, batch norm on one row, maps: right, or an error with advice."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize
from torch.utils.checkpoint import checkpoint

import sktl
from sktl.backbones import owner_of, parameter_groups, trace_of
from sktl.fewshot import FewShotClassifier, MAMLLearner, ProtoNetLearner
from sktl.fewshot.heads import HEADS, make_head
from tests.cases import EPISODES, LABELS, MARKED, PICTURES, ROWS, SHORT, STEPS, network, row_network

pytestmark = pytest.mark.filterwarnings("ignore:No row is unlabelled:UserWarning")


@pytest.fixture(autouse=True)
def own_draws():
    """The networks of the tests draw their values."""
    with torch.random.fork_rng(devices=[]):
        yield


def reparametrised(norm=parametrizations.weight_norm):
    net = network()
    norm(net[0])
    norm(net[-1])
    return net


@pytest.mark.parametrize("norm", [parametrizations.weight_norm, parametrizations.orthogonal])
def test_codes_of_reparametrised_networks(norm):
    net = reparametrised(norm)
    plain = reparametrised(norm)
    for layer in (plain[0], plain[-1]):
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
    found, expected = (
        sktl.CNNCodesTransformer(each, layers=["0", "penultimate"], image_size=12, engine="torch", cache=None)
        .fit_transform(PICTURES) for each in (net, plain)
    )  # fmt: skip
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert net[0].weight.shape == plain[0].weight.shape  # the user's own stays as it is
    assert parametrize.is_parametrized(net[0])


@pytest.mark.parametrize("options", [{"strategy": "full"}, {"strategy": "last"}, {"adapter": "lora"}], ids=str)
def test_fine_tuning_of_reparametrised_networks(options):
    model = sktl.FineTunedClassifier(reparametrised(), image_size=12, cache=None, **STEPS, **options)
    found = model.fit(PICTURES, LABELS).predict_proba(PICTURES)
    assert np.isfinite(found).all()
    trained = dict(model.module_.named_parameters())
    start = dict(reparametrised().named_parameters())
    kept = {name.removeprefix("network."): value for name, value in trained.items()}
    moved = {name for name, value in start.items() if name in kept and not torch.equal(value, kept[name])}
    layers = {owner_of(name) for name in moved}
    assert ("0" in layers) == (options.get("strategy") == "full")
    again = sktl.FineTunedClassifier(reparametrised(), image_size=12, cache=None, **STEPS, **options)
    np.testing.assert_array_equal(again.fit(PICTURES, LABELS).predict_proba(PICTURES), found)


def test_reparametrised_layers_have_their_depth():
    plain, changed = network(), reparametrised()
    depths = [
        {owner_of(name): group.depth for group in parameter_groups(net, trace_of(net, (12, 12)))
         for name, _ in group.parameters}
        for net in (plain, changed)
    ]  # fmt: skip
    assert depths[0] == depths[1]


@pytest.mark.parametrize(
    ("make", "X", "y"),
    [
        (lambda net: sktl.CNNCodesTransformer(net, image_size=12), PICTURES, LABELS),
        (lambda net: sktl.FineTunedClassifier(net, image_size=12, **STEPS), PICTURES, LABELS),
        (lambda net: sktl.DomainAdaptedClassifier(net, image_size=12, **SHORT), PICTURES, MARKED),
        (lambda net: sktl.ProtoNetClassifier(net, image_size=12), PICTURES, LABELS),
        (lambda net: FewShotClassifier(encoder=net, image_size=12), PICTURES, LABELS),
        (lambda net: ProtoNetLearner(net, **EPISODES), PICTURES, LABELS),
        (lambda net: MAMLLearner(net, **EPISODES), PICTURES, LABELS),
    ],
    ids=["codes", "tuned", "adapted", "prototypes", "few", "learner", "maml"],
)
def test_networks_that_cannot_be_copied(make, X, y):
    traced = torch.jit.trace(network().eval(), torch.zeros(2, 3, 12, 12))
    with pytest.raises(TypeError, match=r"got a torch.jit.ScriptModule. Give the module that it was made from"):
        make(traced).fit(X, y)
    with pytest.raises(TypeError, match=r"ScriptModule, at '0'"):
        make(nn.Sequential(traced, nn.ReLU())).fit(X, y)
    exported = torch.export.export(network().eval(), (torch.zeros(2, 3, 12, 12),)).module()
    with pytest.raises(TypeError, match=r"got a program of torch.export, which runs as it was exported"):
        make(exported).fit(X, y)
    old = network()
    with pytest.warns(FutureWarning):
        nn.utils.weight_norm(old[0])
    with pytest.raises(ValueError, match=r"'weight' of its layer '0' is computed.*parametrizations\.weight_norm"):
        make(old).fit(X, y)


def test_spectral_norm_in_adapted_networks():
    net = row_network()
    parametrizations.spectral_norm(net[0])
    with pytest.raises(ValueError, match=r"spectral_norm changes its layer '0'"):
        MAMLLearner(net, **EPISODES).fit(ROWS, LABELS)
    assert np.isfinite(ProtoNetLearner(net, **EPISODES).fit(ROWS, LABELS).transform(ROWS)).all()


def with_norm_of_rows():
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.BatchNorm1d(4), nn.Linear(4, 6)
    )


def test_a_batch_of_one_row_and_batch_norm():
    def fit(batch_size):
        model = sktl.FineTunedClassifier(
            with_norm_of_rows(), strategy="scratch", image_size=12, cache=None, max_epochs=1, batch_size=batch_size
        )
        return model.fit(PICTURES, LABELS)

    with pytest.raises(ValueError, match=r"at least 2 rows a batch.*batch_size of at least 2 that leaves no rest of 1"):
        fit(1)
    assert np.isfinite(fit(23).predict_proba(PICTURES)).all()  # batches are of even size: 12 and 12


def test_one_target_row_and_batch_norm():
    model = sktl.DomainAdaptedClassifier(row_network(), batch_norm="target", **SHORT)
    with pytest.raises(ValueError, match=r"at least 2 rows a batch.*batch_norm='shared'"):
        model.fit(ROWS[:7], [0, 1, 0, 1, 0, 1, -1])


def test_a_task_of_one_row_and_batch_norm():
    learner = MAMLLearner(row_network(), **EPISODES).fit(ROWS, LABELS)
    with pytest.raises(ValueError, match=r"at least 2 rows; got 1. Give a task more rows"):
        learner.adapt_to(ROWS[:1], LABELS[:1])


@pytest.mark.parametrize("name", [name for name in HEADS if name != "relation"])
def test_heads_given_maps(name):
    maps, y = torch.rand(4, 6, 4, 4), torch.tensor([0, 1, 0, 1])  # as many rows as a map has: products would go through
    with pytest.raises(ValueError, match=r"got \(4, 6, 4, 4\) and \(4,\).*RelationHead"):
        make_head(name)(maps, y, maps, 2)
    with pytest.raises(ValueError, match=r"flatten"):
        make_head(name)(maps.unsqueeze(0), y.unsqueeze(0), maps.unsqueeze(0), 2)
    assert make_head(name)(maps.flatten(-3), y, maps.flatten(-3), 2).shape == (4, 2)


class InPlace(nn.Module):
    """Normalises what it is given where it stands, or not."""

    def __init__(self, in_place):
        super().__init__()
        self.in_place, self.conv, self.head = in_place, nn.Conv2d(3, 6, 3), nn.Linear(6, 2)

    def forward(self, x):
        x = x.sub_(0.5).div_(0.2) if self.in_place else (x - 0.5) / 0.2
        return self.head(self.conv(x).relu().mean((2, 3)))


@pytest.mark.parametrize(
    "make",
    [
        lambda net: sktl.CNNCodesTransformer(net, image_size=12, layers=["conv", "penultimate"], engine="torch"),
        lambda net: sktl.FineTunedClassifier(net, image_size=12, strategy="full", **STEPS),
        lambda net: sktl.FineTunedClassifier(net, image_size=12, strategy="last", **STEPS),
    ],
)
def test_networks_that_write_to_their_input(make):
    answers = []
    for in_place in (False, True):
        torch.manual_seed(0)
        model = make(InPlace(in_place).eval()).fit(PICTURES, LABELS)
        answers += [(model.predict_proba if hasattr(model, "predict_proba") else model.transform)(PICTURES)]
    np.testing.assert_allclose(answers[1], answers[0], atol=1e-5)


class Drawing(nn.Module):
    """Drops out in evaluation mode, too."""

    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 6, 3), nn.Linear(6, 2)

    def forward(self, x):
        return self.head(nn.functional.dropout(self.conv(x).relu().mean((2, 3)), training=True))


@pytest.mark.parametrize("options", [None, {"strategy": "full"}, {"strategy": "head"}], ids=str)
def test_what_a_network_draws_is_the_same_in_every_call(options):
    torch.manual_seed(0)
    if options is None:
        model = sktl.CNNCodesTransformer(Drawing().eval(), image_size=12, layers=["head"], engine="torch").fit(PICTURES)
        answer = model.transform
    else:
        model = sktl.FineTunedClassifier(Drawing().eval(), image_size=12, **STEPS, **options).fit(PICTURES, LABELS)
        answer = model.predict_proba
    before = torch.get_rng_state()
    first = answer(PICTURES)
    torch.rand(3)
    np.testing.assert_array_equal(answer(PICTURES), first)
    torch.set_rng_state(before)
    answer(PICTURES)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("how", "said"), [("lazy", "Run it on a picture first"), ("meta", "Load its weights")])
def test_networks_without_values_are_refused(how, said):
    with torch.device("meta" if how == "meta" else "cpu"):
        net = nn.Sequential(nn.LazyConv2d(6, 3) if how == "lazy" else nn.Conv2d(3, 6, 3), nn.Flatten(), nn.ReLU())
    for model in (sktl.CNNCodesTransformer(net, image_size=12), sktl.FineTunedClassifier(net, image_size=12, **STEPS)):
        with pytest.raises(ValueError, match=said):
            model.fit(PICTURES, LABELS)


CALLS = {"n": 0}


def checkpointed(net, x):
    return net.head(checkpoint(net.conv, x, use_reentrant=True).mean((2, 3)))


def plain(net, x):
    return net.head(net.conv(x).mean((2, 3)))


def counted(net, x):
    CALLS["n"] += len(x)
    return plain(net, x)


@pytest.mark.parametrize(
    "make",
    [
        lambda: checkpointed,
        lambda: counted,
        lambda: torch.autocast("cpu", enabled=False)(plain),
        lambda: torch.compile(plain, backend="eager"),
        lambda: torch.compiler.disable(plain),
    ],
    ids=["checkpoint", "count", "autocast", "compile", "disable"],
)
def test_what_running_a_network_notes_outside_does_not_make_it_another_one(make):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.head = nn.Conv2d(3, 6, 3), nn.Linear(6, 2)

        forward = make()

    model = sktl.CNNCodesTransformer(Net().eval(), image_size=12, layers=["conv"], engine="torch")
    codes = model.fit(PICTURES).transform(PICTURES)
    np.testing.assert_array_equal(model.transform(PICTURES), codes)
    with torch.no_grad():
        model.backbone.conv.weight.mul_(2)
    with pytest.raises(sktl.exceptions.WeightsError):
        model.transform(PICTURES)


class OfVolumes(nn.Module):
    """A network that takes its maps for the slices of a volume."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3)
        self.volume = nn.Conv3d(1, 2, 3)
        self.head = nn.Linear(2, 3)

    def forward(self, pictures):
        return self.head(self.volume(self.convolution(pictures)[:, None]).relu().mean((2, 3, 4)))


@pytest.mark.parametrize(
    "make",
    [
        lambda net: sktl.FineTunedClassifier(net, image_size=12, strategy="full", **STEPS),
        lambda net: sktl.DomainAdaptedClassifier(net, image_size=12, **SHORT),
        lambda net: ProtoNetLearner(net, **EPISODES),
    ],
    ids=["fine-tuned", "adapted", "meta-learner"],
)
def test_networks_with_volumes_are_trained(make):
    model = make(OfVolumes())
    model.fit(PICTURES, MARKED if isinstance(model, sktl.DomainAdaptedClassifier) else LABELS)
    answers = model.predict_proba(PICTURES) if hasattr(model, "predict_proba") else model.transform(PICTURES)
    assert np.isfinite(answers).all()


def test_codes_of_networks_with_volumes():
    net = OfVolumes().eval()
    scaled = {"mean": (0, 0, 0), "std": (1, 1, 1), "crop_pct": 1.0}
    found = sktl.CNNCodesTransformer(net, image_size=12, engine="torch", preprocessing=scaled).fit_transform(PICTURES)
    pictures = torch.from_numpy(PICTURES).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        expected = net.volume(net.convolution(pictures)[:, None]).relu().mean((2, 3, 4))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
