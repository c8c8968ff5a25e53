"""What may be decided about the training of a network."""

from __future__ import annotations

import pytest

from foveal.core.errors import OutOfRange
from foveal.train.network.settings import TrainSettings


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", 0), ("batch", 0), ("micro", 0), ("patience", 0), ("rate", 0.0),
        ("head_rate", -1.0), ("weight_decay", -0.1), ("clip", -1.0), ("workers", -1),
        ("smoothing", 1.0), ("average", 1.0), ("warmup", -0.1), ("layer_decay", 0.0),
        ("layer_decay", 1.1), ("val_share", 0.6), ("sampling", "sometimes"),
        ("rate", float("nan")), ("rate", float("inf")), ("clip", float("inf")),
        ("budget", "10"), ("budget", "0s"), ("budget", "-1m"),
    ],
)  # fmt: skip
def test_nonsense_is_refused_with_the_field_and_what_was_expected(
    field: str, value: object
) -> None:
    with pytest.raises(OutOfRange, match=f"^{field} = .* cannot work. Expected "):
        TrainSettings(**{field: value})


def test_nothing_need_be_said_and_what_need_not_be_known_may_stay_open() -> None:
    settings = TrainSettings()
    assert (settings.strategy, settings.micro, settings.patience) == ("probe", None, None)
