"""Parts: what a model has seen, kept by hash prefix."""

from __future__ import annotations

import pytest

from foveal.core.errors import Damaged
from foveal.model.parts import from_text, seen, to_text


def test_text_and_back() -> None:
    parts = {"ab" * 32: "train", "cd" * 32: "val", "0f" * 32: "test"}
    assert from_text(to_text(parts)) == {
        "ab" * 8: "train", "cd" * 8: "val", "0f" * 8: "test",
    }  # fmt: skip


def test_the_order_in_which_pictures_came_is_not_told() -> None:
    assert to_text({"b" * 64: "x", "a" * 64: "y"}) == to_text({"a" * 64: "y", "b" * 64: "x"})


@pytest.mark.parametrize("line", ["abc,train", "a" * 16, "a" * 16 + ",", "a" * 17 + ",train"])
def test_a_line_of_another_kind_is_damage(line: str) -> None:
    with pytest.raises(Damaged, match=r"Line 2 of parts\.csv"):
        from_text(f"{'0' * 16},train\n{line}\n".encode())


def test_a_picture_is_known_by_its_part_alone() -> None:
    parts = {"ab" * 8: "train", "cd" * 8: "test"}
    ids = ["ab" * 32, "cd" * 32, "ef" * 32]
    assert seen(ids, parts, part="train") == [True, False, False]
    assert seen(ids, parts, part="test") == [False, True, False]
