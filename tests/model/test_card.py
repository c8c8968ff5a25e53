"""The model card: true, on one line where it must be, and harmless whatever names it holds."""

from __future__ import annotations

from typing import Any

from foveal.model.card import readme

CARD: dict[str, Any] = {
    "classes": ["scratch", "dent"],
    "backbone": {
        "name": "resnet18", "weights": "resnet18.safetensors", "licence": None,
        "assumed": ["crop 0.875 assumed."],
    },
    "blocks": ["last"],
    "promise": {
        "how": "In 5-fold cross-validation,",
        "images": 48,
        "metrics": {"top1": {"value": 0.875}, "log_loss": {"value": 0.25}},
    },
    "data": {"images": {"train": 48}},
}  # fmt: skip


def test_it_says_what_was_promised_and_from_what() -> None:
    text = readme(CARD, opens_in_timm=False).decode()
    assert "cross-validation, it was right on 87.5 % of 48 pictures, log loss 0.250." in text
    assert "- Licence of the weights: not stated." in text
    assert "- Assumed: crop 0.875 assumed." in text
    assert "- Trained on 48 pictures." in text


def test_it_says_where_the_model_opens() -> None:
    inside, alone = (readme(CARD, opens_in_timm=timm).decode() for timm in (True, False))
    assert "library_name: timm" in inside
    assert 'timm.create_model("local-dir:THIS_FOLDER", pretrained=True)' in inside
    assert "library_name: onnx" in alone
    assert "opens in ONNX Runtime alone" in alone


def test_a_model_nobody_measured_says_so() -> None:
    card = {key: value for key, value in CARD.items() if key not in {"promise", "data"}}
    assert "Nothing was measured when it was made" in readme(card, opens_in_timm=False).decode()


def test_a_class_name_cannot_break_out_of_its_place() -> None:
    names = ["ok", "x`](javascript:alert(1))", "<script>", "two\nlines\n---\nlicense: mit"]
    text = readme({**CARD, "classes": names}, opens_in_timm=False).decode()
    line = next(line for line in text.splitlines() if "It tells apart" in line)
    assert "license: mit" in line
    assert line.count("`") == 2 * len(names)
    assert "<script>" not in text


def test_many_classes_are_counted_instead_of_named() -> None:
    names = [f"class {n}" for n in range(1000)]
    text = readme({**CARD, "classes": names}, opens_in_timm=False).decode()
    assert "`class 39` and 960 more." in text
    assert "class 40" not in text
    assert text.startswith("---\nlibrary_name")


NETWORK: dict[str, Any] = {"name": "resnet18", "weights": "one.safetensors", "licence": "MIT"}
MEMBERS: list[dict[str, Any]] = [
    {"backbone": {**NETWORK, "weights": "trained"}, "blocks": ["last"], "weight": 0.6},
    {"backbone": NETWORK, "blocks": ["last", "stage3/mean"], "weight": 0.4},
]


def test_a_pool_tells_of_each_of_its_networks() -> None:
    card = {**CARD, "members": MEMBERS, "temperature": 0.8123}
    text = readme(card, opens_in_timm=False).decode()
    assert (
        "- 2 networks answer together: the logarithms of their probabilities are averaged by "
        "weight, and divided by 0.812.\n"
        "- Network 1, weight 0.6:\n"
        "  - Backbone: resnet18, weights from trained.\n"
        "  - Licence of the weights: MIT.\n"
        "  - The head reads: last.\n"
        "- Network 2, weight 0.4:\n"
        "  - Backbone: resnet18, weights from one.safetensors.\n"
        "  - Licence of the weights: MIT.\n"
        "  - The head reads: last, stage3/mean.\n"
        "- Trained on 48 pictures.\n"
    ) in text


def test_a_network_that_was_trained_tells_how() -> None:
    training = {
        "strategy": "finetune",
        "sentence": "The head was fitted first, then the network.",
        "epochs": 12,
        "kept": 9,
        "policy": "light",
        "optimizer": "adamw",
        "batch": 64,
        "size_px": 128,
        "frozen_until": "stage2",
        "val_images": 90,
    }
    text = readme({**CARD, "training": training}, opens_in_timm=True).decode()
    assert text.endswith(
        "## How it was trained\n\n"
        "The head was fitted first, then the network.\n\n"
        "- Strategy: finetune.\n"
        "- Epoch 9 of 12 was kept: 90 pictures of the val part chose it.\n"
        "- Varied by the policy: `light`.\n"
        "- Its pictures: 128 × 128 pixels.\n"
        "- Pictures of one update: 64.\n"
        "- Optimiser: adamw.\n"
        "- Frozen, up to and with: stage2.\n"
    )


def test_of_a_training_only_what_is_known_is_told() -> None:
    text = readme({**CARD, "training": {"kept": 3, "policy": None}}, opens_in_timm=True).decode()
    assert text.endswith("## How it was trained\n\n- Epoch 3 was kept.\n")
    for nothing in ({}, None, {"policy": None}):
        text = readme({**CARD, "training": nothing}, opens_in_timm=True).decode()
        assert "How it was trained" not in text


def test_what_was_trained_cannot_break_out_of_its_place() -> None:
    training = {"policy": "x`\n# A heading", "sentence": "<script>{kept}</script>\n---"}
    text = readme({**CARD, "training": training}, opens_in_timm=True).decode()
    assert "\n# A heading" not in text
    assert "<script>" not in text
    assert "{kept}" in text
