"""What the numbers mean, in plain sentences: how sure, how much better, and what is too small."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import get_args

from foveal.core.words import number_of
from foveal.evaluate.difference import kept
from foveal.evaluate.glossary import meaning
from foveal.evaluate.interval import Interval
from foveal.evaluate.judgement import Baseline, Judgement, Sentence, Weight
from foveal.evaluate.wording import number, percent

FEW_IMAGES = 10  # of a class
FEW_GROUPS = 20  # in simulations, intervals from 20 groups held the truth in 80 to 93 % of trials
ROUGH = 0.1  # a difference in top-1 that a test must be able to show before it confirms anything
FINE = 0.01  # a difference in top-1 that is small enough to pass without a word
MUCH = 0.05  # of overconfidence, as a share: from here on its probabilities mislead
SHOWN = 5  # class names in one sentence
LESS_IS_BETTER = frozenset({"log_loss", "brier", "calibration_error"})


def sentences(judgement: Judgement) -> tuple[Sentence, ...]:
    """Return what a person should know about these numbers: the result, then by weight."""
    rest = (
        *(_against(baseline) for baseline in judgement.baselines),
        *_promises(judgement),
        *_size(judgement),
        *_calibration(judgement),
        *_classes(judgement),
        *_silent(judgement),
    )
    weights = get_args(Weight)
    return (*_top1(judgement), *sorted(rest, key=lambda each: weights.index(each.weight)))


def _top1(judgement: Judgement) -> Iterator[Sentence]:
    top1 = judgement.metrics["top1"]
    if top1.value is None:
        return
    right = f"{percent(top1.value)} of {number_of(judgement.images, 'test image')} are right"
    if top1.low is None or top1.high is None:
        yield Sentence(f"{right}; how far that may be trusted cannot be said.", "warning")
    else:
        yield Sentence(
            f"{right}; for all images like these it is between {percent(top1.low)} and "
            f"{percent(top1.high)} (95 % interval)."
        )


def _against(baseline: Baseline) -> Sentence:
    gain = baseline.difference
    if gain.value is None or gain.low is None or gain.high is None:
        return Sentence(
            f"One image or group alone cannot compare it with the baseline {baseline.name!r}.",
            "note",
        )
    span = f"{_points(gain.value)} points of top-1 ({_points(gain.low)} to {_points(gain.high)})"
    if gain.low > 0:
        return Sentence(f"It is better than the baseline {baseline.name!r} by {span}.")
    if gain.high < 0:
        turned = Interval(-gain.value, -gain.high, -gain.low)
        return Sentence(
            f"It is WORSE than the baseline {baseline.name!r} by {_points(turned.value)} points of "
            f"top-1 ({_points(turned.low)} to {_points(turned.high)}).",
            "warning",
        )
    return Sentence(
        f"These images cannot tell it from the baseline {baseline.name!r}: "
        f"the difference is {span}.",
        "note",
    )


def _promises(judgement: Judgement) -> Iterator[Sentence]:
    for name, promised in judgement.promised.items():
        found = judgement.metrics.get(name, Interval(None))
        verdict = kept(promised, found)
        if verdict is None or found.value is None or promised.value is None:
            continue
        per_cent = meaning(name).in_percent
        numbers = (
            f"The fit promised {_title(name)} of "
            f"{number(promised.value, in_percent=per_cent)}, "
            f"the test gives {number(found.value, in_percent=per_cent)}"
        )
        worse = (found.value < promised.value) != (name in LESS_IS_BETTER)
        if verdict and judgement.tells_apart is not None and judgement.tells_apart >= ROUGH:
            yield Sentence(
                f"{numbers}: no contradiction, but so few images would hardly show one.", "note"
            )
        elif verdict:
            yield Sentence(f"{numbers}: the promise was kept.")
        elif worse:
            yield Sentence(
                f"{numbers}: the promise was NOT kept. Either the test images differ from the "
                "training images, or training images that resemble each other need groups.",
                "warning",
            )
        else:
            yield Sentence(
                f"{numbers}: better than promised, so the test images may be easier.", "note"
            )


def _size(judgement: Judgement) -> Iterator[Sentence]:
    images, groups, least = judgement.images, judgement.groups, judgement.tells_apart
    held = number_of(images, "test image")
    if groups is not None:
        held += f" in {number_of(groups, 'group')}"
    if least is None:
        yield Sentence(f"With {held} no difference between two models can be told.", "note")
    elif least >= FINE:
        yield Sentence(
            f"With {held} two models must differ by about {100 * least:.0f} points "
            "before this test can tell them apart.",
            "note" if least >= ROUGH else "fact",
        )
    if groups == 1:
        yield Sentence(
            "All test images belong to one group, so no interval can be given: add groups.",
            "warning",
        )
    elif groups is not None and groups < FEW_GROUPS:
        yield Sentence(
            f"There are only {groups} groups: the intervals themselves are rough, and too short.",
            "note",
        )


def _calibration(judgement: Judgement) -> Iterator[Sentence]:
    top1, over = judgement.metrics["top1"], judgement.metrics["overconfidence"]
    error = judgement.metrics["calibration_error"]
    if top1.value is None or over.value is None or over.low is None or over.high is None:
        return
    sure = (
        f"it is {percent(min(top1.value + over.value, 1.0))} sure and "
        f"{percent(top1.value)} right on the mean"
    )
    if over.low > 0:
        yield Sentence(
            f"It is too sure of itself: {sure}.", "warning" if over.value >= MUCH else "note"
        )
    elif over.high < 0:
        yield Sentence(f"It is right more often than it says: {sure}.")
    elif error.low is not None and error.low > 0:
        yield Sentence(
            f"Its confidence fits on the mean but not everywhere ({sure}, calibration error "
            f"{error}): see the reliability diagram.",
            "note",
        )
    else:
        yield Sentence(f"These images do not contradict its confidence: {sure}.")


def _classes(judgement: Judgement) -> Iterator[Sentence]:
    absent = [row.name for row in judgement.per_class if row.support == 0]
    few = [row.name for row in judgement.per_class if 0 < row.support < FEW_IMAGES]
    total = number_of(len(judgement.classes), "class")
    if absent:
        have = "has no test image and is" if len(absent) == 1 else "have no test image and are"
        yield Sentence(
            f"{len(absent)} of {total} {have} left out of the means over classes: "
            f"{_names(absent)}.",
            "note",
        )
    if few:
        have = "has" if len(few) == 1 else "have"
        yield Sentence(
            f"{len(few)} of {total} {have} fewer than {FEW_IMAGES} test images, "
            f"too few for numbers of their own: {_names(few)}.",
            "note",
        )


def _silent(judgement: Judgement) -> Iterator[Sentence]:
    """Say which numbers have no interval because every resample gave the same."""
    mute = [
        _title(name)
        for name, interval in judgement.metrics.items()
        if interval.value is not None and interval.low is None
    ]
    if mute and judgement.groups != 1:
        yield Sentence(
            f"No interval for {', '.join(mute)}: the number was the same in every resample, "
            "which says that these images hold too few mistakes, not that there are none."
        )


def _title(name: str) -> str:
    return {"top1": "top-1", "top5": "top-5"}.get(name, name.replace("_", " "))


def _points(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f}".replace("-", "−")


def _names(names: Sequence[str]) -> str:
    rest = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {rest} more" if rest > 0 else "")
