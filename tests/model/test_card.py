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
