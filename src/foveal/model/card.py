"""The model card: ``README.md`` of a bundle, for people and for model hubs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

MOST_CLASSES = 40  # named in the card; bundle.json names them all


def readme(card: Mapping[str, Any], *, opens_in_timm: bool) -> bytes:
    """Return the card as Markdown with the YAML header that hubs read.

    Args:
        card: the bundle's facts, see ``recipes.ship``.
        opens_in_timm: whether timm's layout lies beside it.
    """
    backbone = card["backbone"]
    sections = [
        _header(opens_in_timm),
        f"# {len(card['classes'])} classes from {backbone['name']}\n",
        _what(card),
        "## How good it is\n\n" + _promise(card),
        "## How to use it\n\n" + _use(opens_in_timm),
        "## What it was made from\n\n" + _made_of(card),
    ]
    reason = _plain((card.get("auto") or {}).get("sentence") or "")
    if training := _training(card.get("training") or {}):
        sections.append("## How it was trained\n\n" + training)
    if reason:
        sections.append(f"## Why this one\n\n{reason}\n")
    return "\n".join(sections).encode()


def _header(opens_in_timm: bool) -> str:
    library = "timm" if opens_in_timm else "onnx"
    return (
        f"---\nlibrary_name: {library}\npipeline_tag: image-classification\n"
        "tags:\n- image-classification\n- foveal\n---\n"
    )


def _what(card: Mapping[str, Any]) -> str:
    names = [str(name) for name in card["classes"]]
    shown = ", ".join(f"`{_plain(name)}`" for name in names[:MOST_CLASSES])
    more = f" and {len(names) - MOST_CLASSES} more" if len(names) > MOST_CLASSES else ""
    return f"An image classifier made with Foveal. It tells apart: {shown}{more}.\n"


def _promise(card: Mapping[str, Any]) -> str:
    promise = card.get("promise")
    if not promise:
        return "Nothing was measured when it was made: test it on pictures of your own.\n"
    top1, loss = (promise["metrics"][name]["value"] for name in ("top1", "log_loss"))
    return (
        f"{promise['how']} it was right on {100 * top1:.1f} % of {promise['images']} pictures, "
        f"log loss {loss:.3f}. That is a promise, not a test: run `foveal test` on pictures it "
        "has never seen.\n"
    )


def _use(opens_in_timm: bool) -> str:
    lines = [
        "    foveal predict THIS_FOLDER pictures/*.jpg\n",
        "`model.onnx` takes uint8 RGB pixels (N, size, size, 3), resized and cropped as its "
        "metadata `preprocess` says, and gives `logits` and `probabilities`; normalising and "
        "temperature are inside. The pictures in `reference/` and their logits tell whether "
        "another program reads them the same way; they are training pictures: look at them "
        "before you give the folder away.\n",
    ]
    if opens_in_timm:
        lines.append(
            'It also opens with `timm.create_model("local-dir:THIS_FOLDER", pretrained=True)`, '
            "to the same logits.\n"
        )
    else:
        lines.append("It opens in ONNX Runtime alone: timm has no network of this shape.\n")
    return "\n".join(lines)


def _made_of(card: Mapping[str, Any]) -> str:
    members, data = card.get("members"), card.get("data")
    lines = _together(card, members) if members else _network(card["backbone"], card["blocks"])
    if data:
        lines.append(f"- Trained on {data['images'].get('train', 0)} pictures.")
    return "\n".join(lines) + "\n"


def _network(backbone: Mapping[str, Any], blocks: Sequence[str]) -> list[str]:
    return [
        f"- Backbone: {backbone['name']}, weights from {_plain(backbone['weights'])}.",
        f"- Licence of the weights: {backbone.get('licence') or 'not stated'}.",
        *(f"- Assumed: {_plain(sentence)}" for sentence in backbone.get("assumed", ())),
        f"- The head reads: {', '.join(blocks)}.",
    ]


def _together(card: Mapping[str, Any], members: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the members of a pool, and how they come to one answer."""
    lines = [
        f"- {len(members)} networks answer together: the logarithms of their probabilities are "
        f"averaged by weight, and divided by {card['temperature']:.3g}."
    ]
    for number, member in enumerate(members, 1):
        lines.append(f"- Network {number}, weight {member['weight']:.3g}:")
        lines += [f"  {line}" for line in _network(member["backbone"], member["blocks"])]
    return lines


def _training(training: Mapping[str, Any]) -> str:
    """Return what is known of the training of the network itself; empty: nothing is."""
    known = {name: _plain(value) for name, value in training.items() if value is not None}
    epochs, judges = known.get("epochs"), known.get("val_images")
    known["of"] = f" of {epochs}" if epochs else ""
    known["by"] = f": {judges} pictures of the val part chose it" if judges else ""
    said = {
        "strategy": "Strategy: {strategy}.",
        "kept": "Epoch {kept}{of} was kept{by}.",
        "policy": "Varied by the policy: `{policy}`.",
        "size_px": "Its pictures: {size_px} × {size_px} pixels.",
        "batch": "Pictures of one update: {batch}.",
        "optimizer": "Optimiser: {optimizer}.",
        "frozen_until": "Frozen, up to and with: {frozen_until}.",
    }
    lines = [f"- {text.format(**known)}\n" for name, text in said.items() if name in known]
    sentence = [f"{known['sentence']}\n"] if "sentence" in known else []
    return "\n".join([*sentence, *(["".join(lines)] if lines else [])])


def _plain(text: str) -> str:
    """Return a name as it may stand in Markdown: on one line, without marks of its own."""
    return " ".join(str(text).split()).translate(str.maketrans("`<>[]|", "'‹›()¦"))
