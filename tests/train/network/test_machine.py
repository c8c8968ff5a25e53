"""Which device and precision a network is trained in; several ranks: test_run_ranks.py."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from foveal.core.errors import NotThere, OutOfRange
from foveal.train.network.machine import ALONE, Machine, machine


@pytest.fixture
def no_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.fixture
def two_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that there are two, with units for bf16."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)


def found(device: str = "auto", precision: str = "auto") -> Machine:
    with machine(device, precision) as one:
        return one


@pytest.mark.usefixtures("no_card")
def test_without_a_card_it_is_the_processor_in_full_precision() -> None:
    assert found() == found("cpu") == replace(ALONE, free=True)
    assert ALONE.leads
    assert (ALONE.rank, ALONE.ranks, ALONE.precision) == (0, 1, "float32")


@pytest.mark.usefixtures("two_cards")
def test_a_card_is_taken_where_there_is_one() -> None:
    assert found() == Machine(torch.device("cuda", 0), "bf16")
    assert found("cuda:1").device == torch.device("cuda", 1)
    assert found("cpu").device == torch.device("cpu")


@pytest.mark.usefixtures("no_card")
@pytest.mark.parametrize("name", ["cuda", "cuda:0"])
def test_a_card_that_is_not_there_is_one_sentence(name: str) -> None:
    with pytest.raises(NotThere) as refused:
        found(name)
    assert str(refused.value) == (
        f"The device {name!r} is not there: this machine and this torch see no CUDA card. "
        "Leave device out, or say cpu."
    )


@pytest.mark.usefixtures("two_cards")
def test_a_card_too_many_is_counted() -> None:
    with pytest.raises(NotThere, match=r"'cuda:2' is not there.* see 2 CUDA cards"):
        found("cuda:2")


@pytest.mark.usefixtures("no_card")
@pytest.mark.parametrize("name", ["gpu", "", "cuda:x", "mps", "meta", "CPU"])
def test_a_device_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(OutOfRange, match=f"device = '{name}' cannot work.*auto, cpu, cuda"):
        found(name)


@pytest.mark.usefixtures("two_cards")
def test_ranks_take_the_card_of_their_number_on_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    joined: list[str] = []
    monkeypatch.setattr(torch.cuda, "set_device", lambda place: joined.append(str(place)))
    monkeypatch.setattr(
        torch.distributed, "init_process_group", lambda backend, **_: joined.append(backend)
    )
    monkeypatch.setattr("foveal.train.network.machine.store_of", lambda *_, **__: None)
    monkeypatch.setattr(torch.distributed, "destroy_process_group", lambda: joined.append("left"))
    there = {"MASTER_ADDR": "localhost", "MASTER_PORT": 1}
    for name, value in {"WORLD_SIZE": 4, "RANK": 3, "LOCAL_RANK": 1, **there}.items():
        monkeypatch.setenv(name, str(value))
    with machine("cuda") as here:
        assert here == Machine(torch.device("cuda", 1), "bf16", rank=3, ranks=4)
        assert not here.leads
        assert joined == ["cuda:1", "cpu:gloo,cuda:nccl"]
    assert joined[-1] == "left"
    with pytest.raises(OutOfRange, match=r"'cuda:0' cannot work.*a card of its own"):
        found("cuda:0")


@pytest.mark.usefixtures("two_cards")
@pytest.mark.parametrize(
    ("asked", "device", "expected"),
    [
        ("auto", "cpu", "float32"),
        ("auto", "cuda", "bf16"),
        ("float32", "cuda", "float32"),
        ("bf16", "cpu", "bf16"),
        ("fp16", "cuda", "fp16"),
    ],
)
def test_precision_is_what_was_asked_for_or_what_the_device_is_fast_in(
    asked: str, device: str, expected: str
) -> None:
    assert found(device, asked).precision == expected


@pytest.mark.usefixtures("two_cards")
@pytest.mark.parametrize(
    ("capability", "expected"), [((7, 5), "fp16"), ((7, 0), "fp16"), ((6, 1), "float32")]
)
def test_a_card_that_only_imitates_bf16_takes_what_it_is_fast_in(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], expected: str
) -> None:
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation: including_emulation
    )
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    assert found().precision == expected


def test_a_precision_that_is_none_is_refused() -> None:
    with pytest.raises(OutOfRange, match="precision = 'half' cannot work"):
        found("cpu", "half")


@pytest.mark.parametrize(
    ("precision", "kind"),
    [("float32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)],
)
def test_products_are_in_its_precision_and_weights_stay_as_they_are(
    precision: str, kind: torch.dtype
) -> None:
    layer = nn.Linear(3, 2)
    with Machine(torch.device("cpu"), precision).autocast():
        assert layer(torch.ones(1, 3)).dtype == kind
    assert layer.weight.dtype == torch.float32
    assert layer(torch.ones(1, 3)).dtype == torch.float32


def test_a_network_is_placed_in_the_layout_that_convolutions_are_fastest_in() -> None:
    placed = ALONE.place(nn.Conv2d(3, 8, 3))
    assert placed.weight.is_contiguous(memory_format=torch.channels_last)


def test_alone_there_is_nobody_to_exchange_anything_with() -> None:
    one = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    one(torch.randn(4, 3)).sum().backward()
    gradient, mean = one[0].weight.grad.clone(), one[1].running_mean.clone()
    ALONE.share(one)
    ALONE.add_gradients(one)
    ALONE.average_statistics(one)
    assert torch.equal(one[0].weight.grad, gradient)
    assert torch.equal(one[1].running_mean, mean)
    assert ALONE.gathered("word") == ["word"]
    assert ALONE.from_leader("word") == "word"
    assert ALONE.add_up(torch.ones(2)).tolist() == [1, 1]
    with ALONE.leader_first():
        pass


def test_where_no_precision_was_named_dense_networks_take_bf16_if_the_processor_has_units(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dense = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Linear(8, 2))
    grouped = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, groups=8))
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    with machine("cpu") as free, machine("cpu", "float32") as named:
        assert free.precision == "float32"
        assert free.suited_to(dense).precision == "bf16"
        assert free.suited_to(grouped).precision == "float32"
        assert named.suited_to(dense).precision == "float32"
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": False})
    with machine("cpu") as without:
        assert without.suited_to(dense).precision == "float32"
