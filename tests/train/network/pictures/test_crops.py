"""Crops of a whole batch: the parts that were drawn, the same anywhere, and nothing else."""

from __future__ import annotations

import pytest
import torch

from foveal.core.errors import OutOfRange
from foveal.train.network.pictures.crops import Crops, shown

WHOLE = Crops(area=(1.0, 1.0), aspect=1.0, mirror=False)


def ramp(side: int = 32) -> torch.Tensor:
    """Two pictures whose red rises to the right, and whose green rises downwards."""
    line = (torch.arange(side) + 0.5) / side * 2 - 1
    picture = torch.stack([line.expand(side, side), line[:, None].expand(side, side)])
    return torch.cat([picture, picture[:1] * 0])[None].repeat(2, 1, 1, 1)


def test_the_whole_picture_at_its_own_size_is_the_picture() -> None:
    seen = shown(ramp(), WHOLE.places(2, seed=0, step=0), size_px=32)
    torch.testing.assert_close(seen, ramp())


def test_what_is_seen_lies_where_it_was_drawn() -> None:
    places = Crops(area=(0.3, 0.6)).places(2, seed=0, step=0)
    seen = shown(ramp(64), places, size_px=16)
    x, y = ramp(16)[0, 0], ramp(16)[0, 1]
    for picture, place in zip(seen, places, strict=True):
        inside = slice(1, -1)  # at the border, pixels beyond it do not exist
        red, green = place[0, 0] * x + place[0, 2], place[1, 1] * y + place[1, 2]
        torch.testing.assert_close(
            picture[0, inside, inside], red[inside, inside], atol=0.02, rtol=0
        )
        torch.testing.assert_close(
            picture[1, inside, inside], green[inside, inside], atol=0.02, rtol=0
        )


def test_parts_have_the_areas_and_aspects_asked_for_and_lie_inside() -> None:
    places = Crops(area=(0.25, 0.5), aspect=4 / 3).places(4000, seed=1, step=2)
    width, height = places[:, 0, 0].abs(), places[:, 1, 1]
    area, aspect = width * height, width / height
    assert 0.25 <= area.min() < 0.26
    assert 0.49 < area.max() <= 0.5001
    assert 3 / 4 - 1e-4 <= aspect.min() < 0.77
    assert 1.3 < aspect.max() <= 4 / 3 + 1e-4
    assert (width + places[:, 0, 2].abs()).max() <= 1 + 1e-6
    assert (height + places[:, 1, 2].abs()).max() <= 1 + 1e-6


def test_half_are_mirrored_where_that_is_allowed() -> None:
    places = Crops().places(4000, seed=0, step=0)
    assert 0.47 < (places[:, 0, 0] < 0).float().mean() < 0.53
    assert (Crops(mirror=False).places(4000, seed=0, step=0)[:, 0, 0] > 0).all()


def test_the_same_seed_and_step_give_the_same_parts_and_others_give_others() -> None:
    first = Crops().places(8, seed=3, step=5)
    torch.testing.assert_close(first, Crops().places(8, seed=3, step=5), rtol=0, atol=0)
    assert not torch.equal(first, Crops().places(8, seed=3, step=6))
    assert not torch.equal(first, Crops().places(8, seed=4, step=5))


def test_global_randomness_is_neither_used_nor_moved() -> None:
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    Crops().places(8, seed=0, step=0)
    assert torch.rand(1) == expected


@pytest.mark.parametrize(
    "wrong", [{"area": (0.0, 1.0)}, {"area": (0.6, 0.5)}, {"area": (0.5, 1.1)}, {"aspect": 0.5}]
)
def test_what_cannot_work_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(OutOfRange, match=next(iter(wrong))):
        Crops(**wrong)
