"""A backbone is unpacked into a network to be trained, and the trained one packed again."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from torch import nn

from foveal.backbone.running import OnnxBackbone
from foveal.backbone.settings import BackboneSettings
from foveal.backbone.spec import Backbone, BackboneSpec, NetworkWeights
from foveal.backbone.store import sealed
from foveal.backbone.torch_bodies import TimmBody
from foveal.backbone.torch_export import export
from foveal.backbone.torch_load import Loaded, build, of_timm, record_of
from foveal.core.errors import BadWeights, UnknownName


def network_of(backbone: Backbone, classes: int) -> nn.Module:
    """Return the backbone as a timm network with a classifier for ``classes``, still all zero.

    Every weight but the classifier's is the backbone's own, so the network's last features are
    the block ``last``; the caller puts a head's weights into ``classifier_of(network)``.

    Raises:
        BadWeights: if the backbone is no timm network with its weights (an ``.onnx`` file,
            torchvision's, ``classical``), or its classifier is not one linear layer.
    """
    spec, weights = check_trainable(backbone)
    assert spec.architecture is not None  # else it could not be trained
    arguments = {k: v for k, v in spec.model_args.items() if k != "num_classes"}
    with torch.random.fork_rng(devices=[]):  # chance draws weights that are all replaced below
        network: nn.Module = timm.create_model(spec.architecture, num_classes=classes, **arguments)
    own = {f"{spec.classifier}.weight", f"{spec.classifier}.bias"}
    found = {name: torch.from_numpy(array) for name, array in weights.items() if name not in own}
    missing = network.load_state_dict(found, strict=False)
    if missing.unexpected_keys or set(missing.missing_keys) - own:
        odd = [*missing.unexpected_keys, *sorted(set(missing.missing_keys) - own)]
        raise BadWeights(f"The weights of {spec.name} do not fit its architecture: {odd[0]}.")
    layer = classifier_of(network, spec.name)
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.zero_()
    return network


def new_network(
    settings: BackboneSettings, classes: int, *, seed: int
) -> tuple[nn.Module, BackboneSpec]:
    """Return a timm network whose weights chance drew, the same for the same seed, and its record.

    Raises:
        UnknownName: for a name that timm does not have.
        OutOfRange: for an argument that the network does not take.
    """
    name = settings.backbone
    if not timm.is_model(name):
        raise UnknownName("network", name, timm.list_models())
    record = record_of(name)
    preprocess = settings.preprocess(of_timm(record))
    arguments = dict(settings.model_args)
    if record.get("fixed_input_size"):
        arguments["img_size"] = preprocess.size_px
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build(name, {**arguments, "num_classes": classes}, pretrained=False)
    classifier = record.get("classifier")
    spec = BackboneSpec(
        name=name,
        preprocess=preprocess,
        features=int(cast(Any, network).num_features),
        last_grid=None,
        last_is_mean=False,
        stages=(),
        fingerprint=f"chance, seed {seed}",
        weights=f"chance (seed {seed})",
        architecture=name.partition(".")[0],
        model_args=arguments,
        classifier=classifier if isinstance(classifier, str) else None,
    )
    classifier_of(network, name)
    return network, spec


def check_trainable(backbone: Backbone) -> tuple[BackboneSpec, NetworkWeights]:
    """Return the record and the weights of a backbone that timm can build.

    Raises:
        BadWeights: for an ``.onnx`` file, a network of torchvision's, ``classical``.
    """
    spec, weights = backbone.spec, backbone.network_weights()
    if spec.architecture is None or weights is None or spec.classifier is None:
        raise BadWeights(
            f"{spec.name} cannot be trained further: it is only a graph.",
            hint="Name a network of timm's with --backbone, or fit with --strategy probe.",
        )
    return spec, weights


def classifier_of(network: nn.Module, name: str) -> nn.Linear:
    """Return the network's last layer.

    Raises:
        BadWeights: if it is not one linear layer with a bias.
    """
    layer = cast(Any, network).get_classifier()
    if not isinstance(layer, nn.Linear) or layer.bias is None:
        raise BadWeights(
            f"{name} cannot be trained further: its classifier is a "
            f"{type(layer).__name__}, not one linear layer.",
            hint="Fit with --strategy probe, or take another network.",
        )
    return layer


def put_head(
    network: nn.Module, weights_KD: NDArray[np.float32], bias_K: NDArray[np.float32], name: str
) -> None:
    """Give the network's last layer the weights of a linear head over its last features."""
    layer = classifier_of(network, name)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weights_KD))
        layer.bias.copy_(torch.from_numpy(bias_K))


def head_of(network: nn.Module, name: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the weights (K, D) and the bias (K,) of the network's last layer."""
    layer = classifier_of(network, name)
    return tuple(
        value.detach().cpu().float().numpy().copy() for value in (layer.weight, layer.bias)
    )  # type: ignore[return-value]  # two of them


def backbone_of(network: nn.Module, before: BackboneSpec, *, weights: str) -> OnnxBackbone:
    """Return a trained network as a backbone: its graph is checked against torch.

    Args:
        network: as ``network_of`` built it, trained since; left in eval mode, on the CPU.
        before: the record of what it was made from.
        weights: where its weights come from, in words.

    Raises:
        BadWeights: if the graph does not agree with torch.
    """
    network.cpu().to(memory_format=torch.contiguous_format).eval()
    loaded = Loaded(
        network=network,
        body=TimmBody(network, before.preprocess.size_px).eval(),
        name=before.name,
        preprocess=before.preprocess,
        weights=weights,
        licence=before.licence,
        assumed=before.assumed,
        architecture=before.architecture,
        model_args=before.model_args,
        classifier=before.classifier,
    )
    spec, model = export(loaded)
    spec, _ = sealed(spec, model)
    state = {name: value.numpy() for name, value in network.state_dict().items()}
    return OnnxBackbone(spec, model, read_weights=lambda: dict(state))
