"""Features: only what is missing is embedded, and what comes out never depends on that.

Run as a script (FOLDER SECONDS_PER_BATCH HANG_AT) it is the other process of its own tests: it
embeds the pictures of a folder, prints a line for every batch and at last what came out.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from foveal.backbone.spec import BackboneSpec, Stage
from foveal.core.errors import DiskFull, OutOfRange, UnknownName
from foveal.core.files import sha256_of
from foveal.image.preprocess import Preprocess
from foveal.image.stream import Batch, stream
from foveal.model import feature_shelf
from foveal.model.feature_store import FeatureStore
from foveal.model.features import Features, Source, features

PREPROCESS = Preprocess(size_px=16, crop=1.0)
SPEC = BackboneSpec(
    name="fake",
    preprocess=PREPROCESS,
    features=5,
    last_grid=None,
    last_is_mean=False,
    stages=(Stage(name="stage1", channels=2, grid=4),),
    fingerprint="f" * 64,
    weights="made here",
)


@dataclass
class Fake:
    """A backbone that writes down what it embedded."""

    spec: BackboneSpec = SPEC
    seed: int = 0
    pause_s: float = 0.0  # a batch
    calls: list[tuple[int, tuple[str, ...]]] = field(default_factory=list)

    def embed(self, pixels: np.ndarray, blocks: Sequence[str]) -> dict[str, np.ndarray]:
        self.calls.append((len(pixels), tuple(blocks)))
        time.sleep(self.pause_s)
        assert pixels.shape[1:] == (16, 16, 3)
        out = {}
        for block in blocks:
            name_seed = int.from_bytes(hashlib.sha256(block.encode()).digest()[:4]) + self.seed
            filters = np.random.default_rng(name_seed).normal(size=(768, SPEC.widths()[block]))
            rows = [(row.reshape(-1) @ filters).astype(np.float32) for row in pixels]
            out[block] = np.stack(rows)
        return out

    @property
    def embedded(self) -> int:
        return sum(count for count, _ in self.calls)


class Ear:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.heard: list[tuple[int, int]] = []

    def say(self, sentence: str) -> None:
        self.said.append(sentence)

    def progress(self, stage: str, done: int, total: int, unit: str = "images") -> None:
        assert stage == "embedding"
        self.heard.append((done, total))


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    return make_pictures(tmp_path / "pictures", 30)


def make_pictures(folder: Path, count: int) -> list[Path]:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(count):
        noise = rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder / f"{number:03}.png")
    return sorted(folder.iterdir())


def run(
    backbone: Fake, files: Sequence[Path], blocks: Sequence[str] = ("last",), **options: object
) -> Features:
    known = {"batches": partial(stream, batch=8, workers=1), "store": FeatureStore()} | options
    sources = [Source(backbone, {block: block for block in blocks})]
    found, broken = features(sources, files, [sha256_of(one) for one in files], **known)  # type: ignore[arg-type]  # plain keywords
    assert broken == ()
    return found


def directly(files: Sequence[Path], block: str = "last") -> bytes:
    """Return what embedding all files with no store and one batch gives, as bytes."""
    batches = partial(stream, batch=len(files))
    return run(Fake(), files, [block], batches=batches, store=None).blocks[block].tobytes()


class TestOnlyWhatIsMissing:
    def test_adding_ten_images_embeds_ten_images(self, files: list[Path]) -> None:
        run(Fake(), files[:20])
        backbone, ear = Fake(), Ear()
        # The new ones stand between the old ones.
        mixed = [*files[25:], *files[:20], *files[20:25]]
        found = run(backbone, mixed, listener=ear)
        assert backbone.embedded == 10
        assert (ear.heard[0], ear.heard[-1]) == ((0, 10), (10, 10))
        assert found.blocks["last"].tobytes() == directly(mixed)

    def test_the_same_again_embeds_and_decodes_nothing(self, files: list[Path]) -> None:
        run(Fake(), files)
        backbone, ear = Fake(), Ear()
        found = run(backbone, files, batches=forbidden, listener=ear)
        assert (backbone.calls, ear.heard) == ([], [])
        assert found.blocks["last"].tobytes() == directly(files)

    def test_a_further_block_embeds_that_block_alone(self, files: list[Path]) -> None:
        run(Fake(), files[:20])
        backbone = Fake()
        found = run(backbone, files, ["last", "stage1/2x2"])
        assert {blocks for _, blocks in backbone.calls} == {
            ("stage1/2x2",),
            ("last", "stage1/2x2"),
        }
        assert backbone.embedded == 30
        for block in ("last", "stage1/2x2"):
            assert found.blocks[block].tobytes() == directly(files, block)

    def test_another_fingerprint_starts_anew(self, files: list[Path]) -> None:
        run(Fake(), files)
        backbone = Fake(replace(SPEC, fingerprint="0" * 64), seed=1)
        assert run(backbone, files).blocks["last"].tobytes() != directly(files)
        assert backbone.embedded == 30

    def test_files_with_the_same_bytes_are_embedded_once(self, files: list[Path]) -> None:
        twin = files[0].with_name("twin.png")
        twin.write_bytes(files[0].read_bytes())
        asked = [*files[:3], twin, files[1]]
        backbone = Fake()
        found = run(backbone, asked)
        assert backbone.embedded == 3
        assert found.blocks["last"].tobytes() == directly(asked)
        assert found.ids[0] == found.ids[3]
        assert len(found) == 5

    @settings(max_examples=25, deadline=None)
    @given(data=st.data())
    def test_neither_order_nor_bits_depend_on_batches_or_on_what_was_stored(
        self, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
    ) -> None:
        files = pictures_once(tmp_path_factory)
        folder = tmp_path_factory.mktemp("store")
        some = st.lists(st.sampled_from(files), max_size=12)
        blocks = st.sampled_from([("last",), ("stage1/mean",), ("stage1/mean", "last")])
        stored: set[tuple[Path, str]] = set()
        for asked, names in data.draw(st.lists(st.tuples(some, blocks), max_size=5)):
            batches = partial(stream, batch=data.draw(st.integers(1, 9)), workers=1)
            backbone = Fake()
            found = run(backbone, asked, names, batches=batches, store=FeatureStore(folder))
            missing = {(file, name) for file in asked for name in names} - stored
            assert backbone.embedded == len({file for file, _ in missing})
            stored |= missing
            for name in names:
                expected = directly(asked, name) if asked else b""
                assert found.blocks[name].tobytes() == expected


class TestSeveralBackbones:
    def test_they_share_one_decoding_and_keep_apart_in_the_store(self, files: list[Path]) -> None:
        host = Fake()
        # Its own mean and deviation: they lie in the graph, and the rows are shared all the same.
        cut = replace(PREPROCESS, mean=(0.5, 0.5, 0.5))
        small = Fake(replace(SPEC, name="classical", fingerprint="c" * 64, preprocess=cut), seed=7)
        sources = [Source(host, {"last": "last"}), Source(small, {"classical": "last"})]
        decoded: list[Path] = []

        def counted(files: Sequence[Path], preprocess: Preprocess) -> Iterator[Batch]:
            decoded.extend(files)
            return stream(files, preprocess, batch=8)

        ids = [sha256_of(one) for one in files]
        found, _ = features(sources, files, ids, batches=counted, store=FeatureStore())
        assert len(decoded) == 30
        assert found.blocks["last"].tobytes() == directly(files)
        assert found.blocks["classical"].tobytes() != directly(files)
        assert (host.embedded, small.embedded) == (30, 30)

        other_host = Fake(replace(SPEC, fingerprint="0" * 64))
        again = [Source(other_host, {"last": "last"}), Source(small, {"classical": "last"})]
        found_again, _ = features(again, files, ids, batches=counted, store=FeatureStore())
        assert (other_host.embedded, small.embedded) == (30, 30)
        np.testing.assert_array_equal(found.blocks["classical"], found_again.blocks["classical"])

    def test_each_runs_only_where_it_misses_something(self, files: list[Path]) -> None:
        small_spec = replace(SPEC, name="classical", fingerprint="c" * 64)
        ids = [sha256_of(one) for one in files]
        run(Fake(), files[:20])
        run(Fake(small_spec), files[10:])
        host, small = Fake(), Fake(small_spec)
        sources = [Source(host, {"last": "last"}), Source(small, {"classical": "last"})]
        features(sources, files, ids, batches=stream, store=FeatureStore())
        assert (host.embedded, small.embedded) == (10, 10)

    def test_different_sizes_are_refused(self, files: list[Path]) -> None:
        larger = Fake(replace(SPEC, name="big", preprocess=replace(PREPROCESS, size_px=32)))
        sources = [Source(Fake(), {"last": "last"}), Source(larger, {"other": "last"})]
        with pytest.raises(OutOfRange, match="size_px of big = 32 cannot work"):
            features(sources, files, ["a" * 64] * 30, batches=stream)

    def test_a_network_never_sees_an_empty_batch(self, files: list[Path]) -> None:
        files[1].write_bytes(b"no picture")
        backbone = Fake()
        ids = [sha256_of(one) for one in files]
        one_by_one = partial(stream, batch=1)
        features([Source(backbone, {"last": "last"})], files, ids, batches=one_by_one)
        assert [count for count, _ in backbone.calls] == [1] * 29


class TestBrokenFiles:
    def test_they_are_named_with_their_row_and_left_out(self, files: list[Path]) -> None:
        files[4].write_bytes(b"no picture")
        files[9].write_bytes(files[9].read_bytes()[:-600])
        twin = files[4].with_name("twin.png")
        twin.write_bytes(b"no picture")
        asked = [*files, twin]
        ids = [sha256_of(one) for one in asked]
        ear = Ear()
        source = Source(Fake(), {"last": "last"})
        found, broken = features(
            [source], asked, ids, batches=stream, store=FeatureStore(), listener=ear
        )
        assert [row for row, _ in broken] == [4, 9, 30]
        assert all(reason for _, reason in broken)
        whole = [row for row in range(31) if row not in (4, 9, 30)]
        assert found.rows.tolist() == whole
        assert found.ids == tuple(ids[row] for row in whole)
        assert found.blocks["last"].tobytes() == directly([asked[row] for row in whole])
        assert ear.heard[-1] == (30, 30)

    def test_they_are_left_out_where_others_are_there_twice(self, files: list[Path]) -> None:
        files[1].write_bytes(b"no picture")
        asked = [files[0], files[0], files[1]]
        source = Source(Fake(), {"last": "last"})
        one_by_one = partial(stream, batch=1)
        ids = [sha256_of(one) for one in asked]
        found, broken = features([source], asked, ids, batches=one_by_one)
        assert found.rows.tolist() == [0, 1]
        assert found.blocks["last"].tobytes() == directly(asked[:2])
        assert [row for row, _ in broken] == [2]

    def test_they_are_looked_at_again_the_next_time(self, files: list[Path]) -> None:
        content = files[0].read_bytes()
        files[0].unlink()
        ids = [sha256_of(files[1]), "a" * 64]
        asked, source = [files[1], files[0]], Source(Fake(), {"last": "last"})
        _, broken = features([source], asked, ids, batches=stream, store=FeatureStore())
        assert [row for row, _ in broken] == [1]
        files[0].write_bytes(content)
        found, broken = features([source], asked, ids, batches=stream, store=FeatureStore())
        assert (len(found), broken) == (2, ())


class TestTheStore:
    def test_a_block_stored_in_one_piece_is_the_map_of_its_file(self, files: list[Path]) -> None:
        run(Fake(), files)
        block = run(Fake(), files).blocks["last"]
        assert "features" in Path("/proc/self/maps").read_text()
        base = block
        while isinstance(base.base, np.ndarray):
            base = base.base
        assert isinstance(base, np.memmap)
        assert not block.flags.writeable

    def test_an_interrupted_run_keeps_what_it_had(self, files: list[Path]) -> None:
        def interrupted(files: Sequence[Path], preprocess: Preprocess) -> Iterator[Batch]:
            for number, batch in enumerate(stream(files, preprocess, batch=8)):
                if number == 2:
                    raise KeyboardInterrupt
                yield batch

        with pytest.raises(KeyboardInterrupt):
            run(Fake(), files, batches=interrupted)
        backbone = Fake()
        run(backbone, files)
        assert backbone.embedded == 30 - 16

    def test_a_flipped_bit_is_said_and_computed_again(self, files: list[Path]) -> None:
        run(Fake(), files)
        (segment,) = FeatureStore().folder.glob("*/*.safetensors")
        content = bytearray(segment.read_bytes())
        content[len(content) - 30 * 32 - 100] ^= 16  # among the float32 numbers
        segment.write_bytes(content)
        backbone, ear = Fake(), Ear()
        found = run(backbone, files, store=FeatureStore(listener=ear))
        assert backbone.embedded == 30
        assert found.blocks["last"].tobytes() == directly(files)
        assert len(ear.said) == 1
        assert "fake was damaged" in ear.said[0]
        again = Fake()
        run(again, files)
        assert again.calls == []

    def test_a_cut_segment_is_computed_again(self, files: list[Path]) -> None:
        run(Fake(), files[:20])
        run(Fake(), files[20:])
        first, _ = sorted(FeatureStore().folder.glob("*/*.safetensors"))
        first.write_bytes(first.read_bytes()[:-1])
        backbone = Fake()
        assert run(backbone, files).blocks["last"].tobytes() == directly(files)
        assert backbone.embedded == 20

    def test_without_room_the_run_goes_on_and_says_so_once(
        self, files: list[Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: object, **__: object) -> Path:
            raise DiskFull("No space is left on the disk of /cache.")

        monkeypatch.setattr(feature_shelf, "write_segment", full)
        ear = Ear()
        found = run(Fake(), files, store=FeatureStore(flush_after_s=0.0), listener=ear)
        assert found.blocks["last"].tobytes() == directly(files)
        (said,) = ear.said
        assert said.startswith("No space is left on the disk of /cache.")
        assert "not kept" in said

    def test_a_limit_below_one_run_is_kept_and_said(self, files: list[Path]) -> None:
        ear = Ear()
        store = FeatureStore(limit=1000, flush_after_s=0.0)
        found = run(Fake(), files, store=store, listener=ear)
        assert found.blocks["last"].tobytes() == directly(files)
        assert len(ear.said) == 1
        assert "FOVEAL_CACHE_LIMIT" in ear.said[0]
        assert sum(path.stat().st_size for path in store.folder.glob("*/*.safetensors")) < 1000

    def test_a_cache_that_cannot_be_written_costs_only_the_cache(
        self, files: list[Path], own_cache: Path
    ) -> None:
        (own_cache / "features").write_text("in the way")
        ear = Ear()
        found = run(Fake(), files, listener=ear)
        assert found.blocks["last"].tobytes() == directly(files)
        assert len(ear.said) == 1


class TestTwoProcesses:
    def test_at_once_both_are_right_and_everything_is_stored(self, files: list[Path]) -> None:
        workers = [other(files[0].parent, 0.01) for _ in "ab"]
        backbone = Fake(pause_s=0.01)
        for _ in range(3):
            assert run(backbone, files, store=FeatureStore(flush_after_s=0)).blocks[
                "last"
            ].tobytes() == directly(files)
        for worker in workers:
            out, _ = worker.communicate(timeout=60)
            assert worker.returncode == 0
            assert out.splitlines()[-1] == directly(files).hex()
        again = Fake()
        assert run(again, files).blocks["last"].tobytes() == directly(files)
        assert again.calls == []
        assert not list(FeatureStore().folder.glob("*/.*"))

    def test_killed_in_the_middle_only_the_rest_is_embedded(self, files: list[Path]) -> None:
        worker = other(files[0].parent, 0.0, hang_at=4)
        assert worker.stdout is not None
        for _ in range(4):
            worker.stdout.readline()
        worker.kill()
        worker.communicate()
        backbone = Fake()
        assert run(backbone, files).blocks["last"].tobytes() == directly(files)
        assert backbone.embedded == 30 - 3 * 4

    def test_killed_at_any_moment_nothing_wrong_is_stored(self, files: list[Path]) -> None:
        rng = np.random.default_rng(0)
        for _ in range(4):
            worker = other(files[0].parent, 0.0)
            assert worker.stdout is not None
            worker.stdout.readline()
            time.sleep(rng.uniform(0, 0.03))
            worker.kill()
            worker.communicate()
        assert run(Fake(), files).blocks["last"].tobytes() == directly(files)
        assert not list(FeatureStore().folder.glob("*/.*"))  # drafts of the dead


class TestBadInput:
    def test_a_block_that_the_backbone_lacks_is_refused(self) -> None:
        with pytest.raises(UnknownName, match="No block of fake is called 'lst'"):
            Source(Fake(), {"last": "lst"})

    def test_a_block_that_was_not_embedded_is_not_joined(self, files: list[Path]) -> None:
        with pytest.raises(UnknownName, match="Did you mean 'last'"):
            run(Fake(), files).joined(["lats"])

    def test_two_blocks_of_one_name_or_none_are_refused(self) -> None:
        source = Source(Fake(), {"last": "last"})
        for sources in ([source, source], [], [Source(Fake(), {})]):
            with pytest.raises(OutOfRange, match="each name once"):
                features(sources, [], [], batches=stream)

    def test_an_id_for_each_file_and_a_proper_one(self, files: list[Path]) -> None:
        sources = [Source(Fake(), {"last": "last"})]
        with pytest.raises(OutOfRange, match="one for each file"):
            features(sources, files, ["a" * 64], batches=stream)
        with pytest.raises(OutOfRange, match="64 hexadecimal digits"):
            features(sources, files[:1], ["xyz"], batches=stream)

    def test_no_files_give_no_rows_of_the_right_width(self) -> None:
        found = run(Fake(), [])
        assert (found.blocks["last"].shape, len(found)) == ((0, 5), 0)


def test_blocks_are_read_only_wherever_they_lie(files: list[Path]) -> None:
    for store in (None, FeatureStore(), FeatureStore()):
        block = run(Fake(), files, store=store).blocks["last"]
        with pytest.raises(ValueError, match="read-only"):
            block[0, 0] = 1


def test_joined_blocks_stand_side_by_side_in_the_order_asked_for(files: list[Path]) -> None:
    found = run(Fake(), files, ["last", "stage1/mean"])
    both = found.joined(["stage1/mean", "last"])
    assert both.shape == (30, 7)
    np.testing.assert_array_equal(both[:, 2:], found.blocks["last"])
    assert found.joined(["last"]) is found.blocks["last"]


def forbidden(files: Iterable[Path], preprocess: Preprocess) -> Iterator[Batch]:
    raise AssertionError("nothing should have been decoded")


def pictures_once(factory: pytest.TempPathFactory) -> list[Path]:
    folder = factory.getbasetemp() / "ten-pictures"
    return sorted(folder.iterdir()) if folder.is_dir() else make_pictures(folder, 10)


def other(folder: Path, pause_s: float, *, hang_at: int = 0) -> subprocess.Popen[str]:
    """Start this file as another process on the same cache; it may hang after some batches."""
    command = [sys.executable, "-u", __file__, str(folder), str(pause_s), str(hang_at)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def main() -> None:
    folder, pause_s, hang_at = sys.argv[1:]

    def told(files: Sequence[Path], preprocess: Preprocess) -> Iterator[Batch]:
        for number, batch in enumerate(stream(files, preprocess, batch=4, workers=1), 1):
            sys.stdout.write("batch\n")
            if number == int(hang_at):
                time.sleep(3600)
            yield batch

    backbone = Fake(pause_s=float(pause_s))
    files = sorted(Path(folder).iterdir())
    found = run(backbone, files, batches=told, store=FeatureStore(flush_after_s=0))
    sys.stdout.write(found.blocks["last"].tobytes().hex())


if __name__ == "__main__":
    main()
