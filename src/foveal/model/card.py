"""The model card: ``README.md`` of a bundle, for people and for model hubs."""

from __future__ import annotations

from collections.abc import Mapping
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
    backbone, data = card["backbone"], card.get("data")
    lines = [f"- Backbone: {backbone['name']}, weights from {_plain(backbone['weights'])}."]
    lines.append(f"- Licence of the weights: {backbone.get('licence') or 'not stated'}.")
    lines += [f"- Assumed: {_plain(sentence)}" for sentence in backbone.get("assumed", ())]
    lines.append(f"- The head reads: {', '.join(card['blocks'])}.")
    if data:
        lines.append(f"- Trained on {data['images'].get('train', 0)} pictures.")
    return "\n".join(lines) + "\n"


def _plain(text: str) -> str:
    """Return a name as it may stand in Markdown: on one line, without marks of its own."""
    return " ".join(str(text).split()).translate(str.maketrans("`<>[]|", "'‹›()¦"))
