"""One file: a real training goes on from it bit by bit, and no damage passes unseen."""

from __future__ import annotations

import errno
import hashlib
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn

from foveal.core.errors import CannotResume, Damaged
from foveal.train.network.saving import checkpoint_file
from foveal.train.network.saving.checkpoint_file import Sealed, State, read_state
from foveal.train.network.saving.random_states import random_states, restore_random_states


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def state(**parts: Any) -> State:
    usual = {"step": 7, "network": {}, "average": None, "optimizer": {}, "random": [], "facts": {}}
    return State(**{**usual, **parts})


def write(path: Path, state: State) -> Path:
    with path.open("wb") as file:
        Sealed(state).write(file)
    return path


def same(one: Any, other: Any) -> bool:
    """Whether two nested values are equal in type and in every bit."""
    if isinstance(one, Tensor):
        if one.dtype != other.dtype or one.shape != other.shape:
            return False
        sides = (side.detach().contiguous().reshape(-1).view(torch.uint8) for side in (one, other))
        return torch.equal(*sides)
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    return repr(one) == repr(other)


class Training:
    """A real network from timm that learns noise, with dropout and a moving average."""

    def __init__(self, optimizer: Callable[..., torch.optim.Optimizer], *, seed: int) -> None:
        import timm

        torch.manual_seed(seed)
        self.network = timm.create_model("resnet10t", num_classes=3, drop_rate=0.3)
        self.average = {name: each.clone() for name, each in self.network.state_dict().items()}
        decayed = [each for each in self.network.parameters() if each.ndim > 1]
        plain = [each for each in self.network.parameters() if each.ndim <= 1]
        self.optimizer = optimizer([{"params": decayed}, {"params": plain, "weight_decay": 0.0}])
        self.step = 0

    def learn(self, steps: int) -> None:
        """Take some steps: pictures depend on the step alone, dropout on the random state."""
        self.network.train()
        for step in range(self.step, self.step + steps):
            noise = torch.Generator().manual_seed(step)
            pixels_BCHW = torch.rand(4, 3, 32, 32, generator=noise)
            labels_B = torch.randint(3, (4,), generator=noise)
            loss = nn.functional.cross_entropy(self.network(pixels_BCHW), labels_B)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            for name, each in self.network.state_dict().items():
                if each.is_floating_point():
                    self.average[name].lerp_(each, 0.1)
        self.step += steps

    def state(self) -> State:
        return State(
            step=self.step,
            network=self.network.state_dict(),
            average=self.average,
            optimizer=self.optimizer.state_dict(),
            random=[random_states()],
            facts={"rate": 1e-3 / 3, "scores": [(0.1, float("nan"))], "best": None},
        )

    def go_on_from(self, state: State) -> None:
        assert state.average is not None
        self.step, self.average = state.step, dict(state.average)
        self.network.load_state_dict(state.network)
        self.optimizer.load_state_dict(dict(state.optimizer))
        restore_random_states(state.random[0])


OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adamw": lambda groups: torch.optim.AdamW(groups, lr=3e-3, betas=(0.9, 0.98)),
    "adamw, its rate a tensor": lambda groups: torch.optim.AdamW(
        groups, lr=torch.tensor(3e-3), amsgrad=True, foreach=False
    ),
    "sgd with momentum": lambda groups: torch.optim.SGD(groups, lr=0.1, momentum=0.9),
    "sgd without": lambda groups: torch.optim.SGD(groups, lr=0.1),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_training_goes_on_from_a_file_bit_by_bit(optimizer: str, tmp_path: Path) -> None:
    undisturbed = Training(OPTIMIZERS[optimizer], seed=0)
    undisturbed.learn(3)
    path = write(tmp_path / "one", undisturbed.state())
    undisturbed.learn(2)

    resumed = Training(OPTIMIZERS[optimizer], seed=1)
    resumed.learn(1)
    resumed.go_on_from(read_state(path))
    resumed.learn(2)
    for part in State.__slots__:
        assert same(getattr(resumed.state(), part), getattr(undisturbed.state(), part)), part


def test_a_state_comes_back_equal_in_type_and_bits_and_in_memory_of_its_own(tmp_path: Path) -> None:
    training = Training(OPTIMIZERS["adamw"], seed=0)
    training.learn(2)
    before = training.state()
    after = read_state(write(tmp_path / "one", before))
    for part in State.__slots__:
        assert same(getattr(before, part), getattr(after, part)), part
    tensors = list(after.network.values())
    assert all(each.untyped_storage().nbytes() == each.nbytes for each in tensors)


def test_tensors_of_every_kind_and_shape_come_back(tmp_path: Path) -> None:
    noise = torch.randint(256, (4, 6, 8), dtype=torch.uint8)
    kinds = {name: noise.view(kind) for name, kind in checkpoint_file._KINDS.items()}
    kinds["BOOL"] = noise > 100
    shapes = {
        "none": torch.empty(0, 3),
        "number": torch.tensor(3.5, dtype=torch.bfloat16),
        "turned": torch.rand(3, 4).T,
        "spread": torch.rand(1, 3).expand(2, 3),
        "cut": torch.rand(5)[1:4],
        "channels last": torch.rand(1, 3, 4, 4).to(memory_format=torch.channels_last),
        "learnt": nn.Parameter(torch.rand(2)),
    }
    after = read_state(write(tmp_path / "one", state(network={**kinds, **shapes})))
    assert same(after.network, {**kinds, **shapes})


def test_a_tensor_that_no_file_can_hold_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match=r"^network/wave holds torch\.complex128: "):
        Sealed(state(network={"wave": torch.zeros(2, dtype=torch.complex128)}))


def test_the_size_is_known_before_anything_is_written(tmp_path: Path) -> None:
    sealed = Sealed(state(network={"weight": torch.rand(5, 7)}, facts={"city": "Zürich \udcff"}))
    file = io.BytesIO()
    sealed.write(file)
    assert len(file.getvalue()) == sealed.size_bytes


def test_other_tools_can_look_inside(tmp_path: Path) -> None:
    network = {"flag": torch.tensor(True), "half": torch.rand(3).half(), "whole": torch.rand(2, 3)}
    path = write(tmp_path / "one", state(network=network))
    with safe_open(path, "pt") as file:
        assert {name: file.get_tensor(f"network/{name}").tolist() for name in network} == {
            name: each.tolist() for name, each in network.items()
        }
        assert file.metadata()["format"] == "foveal checkpoint 1"


def test_every_tensor_begins_at_a_multiple_of_its_width_so_that_it_can_be_mapped(
    tmp_path: Path,
) -> None:
    kinds = (torch.uint8, torch.float64, torch.bfloat16, torch.float32, torch.int64)
    network = {str(kind): torch.ones(3, dtype=kind) for kind in kinds}
    content = write(tmp_path / "one", state(network=network)).read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    for name, tensor in network.items():
        begin = 8 + length + header[f"network/{name}"]["data_offsets"][0]
        assert begin % tensor.element_size() == 0


def tampered(path: Path) -> Path:
    """Return the file with its digest set anew, as another version might write it."""
    content = bytearray(path.read_bytes())
    at = content.index(b'"sha256":"') + len(b'"sha256":"')
    content[at : at + 64] = b"0" * 64
    content[at : at + 64] = hashlib.sha256(content).hexdigest().encode()
    path.write_bytes(content)
    return path


def test_another_version_is_told_in_one_sentence(tmp_path: Path) -> None:
    path = write(tmp_path / "one", state())
    path.write_bytes(path.read_bytes().replace(b"foveal checkpoint 1", b"foveal checkpoint 2"))
    with pytest.raises(Damaged):  # a bit that flipped in the number makes no other version
        read_state(path)
    with pytest.raises(CannotResume) as refused:
        read_state(tampered(path))
    assert refused.value.exit_code == 2
    assert str(refused.value) == (
        f"{path} was written by another version of Foveal ('foveal checkpoint 2'; this one reads "
        "'foveal checkpoint 1'). Resume the run with the version that began it, or begin it anew "
        "elsewhere."
    )


@pytest.mark.parametrize(
    "content",
    [b"", b"x", b"PK\x03\x04" + bytes(200), json.dumps({"step": 3}).encode(), bytes(500)],
)
def test_what_is_no_checkpoint_is_damaged(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(content)
    with pytest.raises(Damaged, match="one is not what was written"):
        read_state(tmp_path / "one")


def test_a_safetensors_file_of_others_is_damaged_even_with_a_digest_elsewhere(
    tmp_path: Path,
) -> None:
    path = write(tmp_path / "one", state())
    path.write_bytes(path.read_bytes().replace(b"__metadata__", b"__elsewhere_"))
    with pytest.raises(Damaged):
        read_state(tampered(path))


def test_a_disk_that_cannot_read_is_damage_and_a_file_that_may_not_be_read_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "one", state())

    def failing(number: int) -> Callable[..., None]:
        def verify(*_: object) -> None:
            raise OSError(number, "no")

        return verify

    monkeypatch.setattr(checkpoint_file, "_verify", failing(errno.EIO))
    with pytest.raises(Damaged, match=r"cannot be read any more \(no\)"):
        read_state(path)
    monkeypatch.setattr(checkpoint_file, "_verify", failing(errno.EACCES))
    with pytest.raises(PermissionError):
        read_state(path)
