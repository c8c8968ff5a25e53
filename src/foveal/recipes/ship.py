"""Ship: a fitted classifier becomes a bundle; the same fit gives the same bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foveal.backbone import graphs
from foveal.backbone.spec import BackboneSpec
from foveal.core.settings import to_json, to_mapping
from foveal.export.timm_layout import fits_timm, timm_files
from foveal.image.header import header
from foveal.image.source import bytes_of
from foveal.model import parts
from foveal.model.bundle import BASELINE, GRAPH, REFERENCE, SEEN, Bundle, fresh_bundle
from foveal.model.card import readme
from foveal.model.classifier import Classifier
from foveal.model.graph import classifier_graph
from foveal.model.linear import LinearHead
from foveal.model.pool import Pool
from foveal.recipes.fitted import Fitted
from foveal.recipes.orders import FitSettings

REFERENCES = 4  # pictures of the proof that are kept in the bundle


def bundle_of(fitted: Fitted) -> Bundle:
    """Return the bundle of a fit, not written yet: no times, paths or commands are in it."""
    files, logits_NK = fitted.proof
    card = {
        **facts(fitted.classifier),
        **fitted.story,
        "promise": _promise(fitted),
        "data": _data(fitted),
        "settings": _settings(fitted.settings),
    }
    content = {SEEN: parts.to_text(dict(fitted.prepared.parts)), **_reference(files, logits_NK)}
    if fitted.baseline is not None:
        content[BASELINE] = _head_file(fitted.baseline)
    return pack(fitted.classifier, card, content)


def facts(classifier: Classifier | Pool) -> dict[str, Any]:
    """Return what a bundle says of any classifier, fitted here or brought from elsewhere.

    Of a pool, backbone and blocks are those of all its members together, and each member is told
    of beside them.
    """
    networks = _members(classifier) if isinstance(classifier, Pool) else _network(classifier)
    return {
        "classes": list(classifier.classes),
        "names": dict(classifier.names),
        "preprocess": to_mapping(classifier.preprocess),
        **networks,
        "temperature": float(classifier.temperature),
    }


def pack(
    classifier: Classifier | Pool, card: Mapping[str, Any], files: Mapping[str, bytes]
) -> Bundle:
    """Add graph, model card and, where the head allows it, timm's layout to ``files``."""
    timm = _timm(classifier) if isinstance(classifier, Classifier) else {}
    content = {
        GRAPH: graphs.to_bytes(classifier_graph(classifier)),
        "README.md": readme(card, opens_in_timm=bool(timm)),
        **timm,
        **files,
    }
    return fresh_bundle(card, content)


def _timm(classifier: Classifier) -> dict[str, bytes]:
    if fits_timm(classifier) and (weights := classifier.host.network_weights()) is not None:
        return timm_files(classifier, weights)
    return {}


def _network(classifier: Classifier) -> dict[str, Any]:
    return {"backbone": _backbone(classifier.host.spec), "blocks": list(classifier.blocks)}


def _members(pool: Pool) -> dict[str, Any]:
    """Return what the networks of a pool are together, and one by one."""
    specs = [member.host.spec for member in pool.members]
    licences = [spec.licence for spec in specs if spec.licence]
    blocks = [block for member in pool.members for block in member.blocks]
    assumed = [sentence for spec in specs for sentence in spec.assumed]
    return {
        "backbone": {
            "name": " + ".join(dict.fromkeys(spec.name for spec in specs)),
            "weights": " + ".join(dict.fromkeys(spec.weights for spec in specs)),
            "licence": " + ".join(dict.fromkeys(licences)) if len(licences) == len(specs) else None,
            "assumed": list(dict.fromkeys(assumed)),
        },
        "blocks": list(dict.fromkeys(blocks)),
        "members": [
            {
                **_network(member),
                "weight": float(weight),
                "temperature": float(member.temperature),
            }
            for member, weight in zip(pool.members, pool.weights, strict=True)
        ],
    }


def _backbone(spec: BackboneSpec) -> dict[str, Any]:
    return {
        "name": spec.name,
        "weights": spec.weights,
        "licence": spec.licence,
        "fingerprint": spec.fingerprint,
        "architecture": spec.architecture,
        "model_args": dict(spec.model_args),
        "assumed": list(spec.assumed),
    }


def _promise(fitted: Fitted) -> dict[str, Any]:
    numbers = {
        name: {"value": number.value, "low": number.low, "high": number.high}
        for name, number in fitted.promise.metrics.items()
    }
    return {
        "how": fitted.promise.how,
        "images": len(fitted.promise.predictions),
        "metrics": numbers,
    }


def _data(fitted: Fitted) -> dict[str, Any]:
    """Return what was learnt from, in numbers; the hash tells two datasets apart."""
    prepared = fitted.prepared
    names = prepared.manifest.table["labels"].to_list()
    unread = {path for path, _ in fitted.broken}
    readable = [path not in unread for path in prepared.manifest.paths]
    images, per_class = {}, {}
    for part in ("train", "val", "test"):
        rows = [row for row in getattr(prepared.split, part).tolist() if readable[row]]
        counts = dict.fromkeys(prepared.manifest.classes, 0)
        for row in rows:
            for name in names[row]:
                counts[name] = counts.get(name, 0) + 1
        images[part] = len(rows)
        per_class[part] = counts
    lines = parts.to_text(prepared.parts)
    return {
        "images": images,
        "per_class": per_class,
        "grouping": prepared.manifest.grouping,
        "grouped": prepared.manifest.table["group"].null_count() < len(prepared.manifest),
        "sha256": hashlib.sha256(lines).hexdigest(),
        "broken": len(fitted.broken)
        + sum(finding.kind == "broken" for finding in prepared.manifest.findings),
    }


def _settings(settings: FitSettings) -> dict[str, Any]:
    """Return the settings without what is a place on this machine."""
    values = to_mapping(settings)
    backbone = values["backbone"]
    for name in ("weights", "backbone"):
        if isinstance(backbone.get(name), str):
            backbone[name] = Path(backbone[name]).name
    return values


def _head_file(head: LinearHead) -> bytes:
    from safetensors.numpy import save

    return bytes(save({"weights": np.ascontiguousarray(head.weights_KD), "bias": head.bias_K}))


def read_head(content: bytes) -> LinearHead:
    """Return the head that ``_head_file`` wrote."""
    from safetensors.numpy import load

    tensors = load(content)
    return LinearHead(tensors["weights"], tensors["bias"])


def _reference(files: Sequence[Path], logits_NK: NDArray[np.float32]) -> dict[str, bytes]:
    """Return the first pictures of the proof as they are, and their logits.

    They are named by their number and what their bytes are: no file's name gets into a bundle.
    """
    content: dict[str, bytes] = {}
    logits: dict[str, list[float]] = {}
    for number, (file, logits_K) in enumerate(zip(files[:REFERENCES], logits_NK, strict=False)):
        picture = bytes_of(file)
        name = f"{number}.{header(picture).format.lower()}"
        content[f"reference/{name}"] = picture
        logits[name] = [float(value) for value in logits_K]
    content[REFERENCE] = to_json({"logits": logits})
    return content
