"""What the numbers mean, in words for a person who never met them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Meaning:
    """How a metric is called and read."""

    label: str
    says: str  # one or two short sentences
    in_percent: bool = False
    on_rail: bool = False  # drawn between 0 and 1; only where more is better


METRICS = {
    "top1": Meaning(
        "Accuracy (top-1)",
        "Share of the test images whose likeliest class is the true one.",
        in_percent=True,
        on_rail=True,
    ),
    "top5": Meaning(
        "Top-5 accuracy",
        "The true class is among the five likeliest.",
        in_percent=True,
        on_rail=True,
    ),
    "balanced_accuracy": Meaning(
        "Balanced accuracy",
        "Accuracy when every class counts the same, however many images it has: "
        "the mean of the classes' recall.",
        in_percent=True,
        on_rail=True,
    ),
    "macro_precision": Meaning(
        "Precision, mean of classes",
        "When it names a class, how often that is true.",
        in_percent=True,
        on_rail=True,
    ),
    "macro_f1": Meaning(
        "F1, mean of classes",
        "Precision and recall in one number: low as soon as either is low.",
        in_percent=True,
        on_rail=True,
    ),
    "roc_auc": Meaning(
        "ROC-AUC",
        "Take one image of a class and one that is not: how often the first gets more of its "
        "probability. 0.5 is guessing, 1 is perfect.",
        on_rail=True,
    ),
    "average_precision": Meaning(
        "Average precision",
        "Sort all images by their probability of a class: how pure the top of that list is. "
        "1 is perfect.",
        on_rail=True,
    ),
    "log_loss": Meaning(
        "Log loss",
        "Surprise at the truth. 0 is perfect, sure and wrong costs most; less is better.",
    ),
    "brier": Meaning(
        "Brier score",
        "Squared error of the probabilities, from 0 to 2; less is better.",
    ),
    "calibration_error": Meaning(
        "Calibration error",
        "How far its confidence lies from how often it is right, on the mean; less is better.",
        in_percent=True,
    ),
    "overconfidence": Meaning(
        "Overconfidence",
        "Mean confidence less the share of right answers: above 0 it is too sure of itself, "
        "below 0 too modest.",
        in_percent=True,
    ),
}
SAME_AS_ANOTHER = {"macro_recall"}  # of what is computed; not shown twice

BASELINES = {
    "majority": "Always the commonest class",
    "classical": "Classical features of the same pixels",
}

WORDS = {
    "95 % interval": "The test images are a sample. With another sample of the same size the "
    "number would differ; in 19 of 20 cases the interval holds what very many images would give.",
    "Group": "Images of one thing, such as one patient or one track. They are drawn together "
    "when intervals are computed, since they are not independent.",
    "Baseline": "What something much simpler reaches on the same images. A model that is not "
    "clearly above it has learnt little.",
    "Baseline “classical”": "Gradients and colours counted on a grid, read from the very pixels "
    "that this network gets, at its size and with its crop. A fit with --backbone classical "
    "chooses pixels and features for itself and may well score higher.",
    "Cross-validation": "Training on some of the training images and testing on the others, in "
    "turns. It chose the settings, and it promised a result before the test images were seen.",
    "Confidence": "The probability that the model gives its answer.",
    "Well calibrated": "Of the answers it is 80 % sure of, 80 % are right.",
    "Precision": "Of the images it calls X, the share that is X.",
    "Recall": "Of the images that are X, the share it calls X.",
    "F1": "The harmonic mean of precision and recall.",
    "Support": "How many test images of the class there are. With few, everything is uncertain.",
    "Heat map": "Where in the picture the evidence for the answer (orange) and against it (blue) "
    "lies. It says what the model used, not what is important.",
}


def meaning(metric: str) -> Meaning:
    """Return how ``metric`` is called and read; a name that is not listed stands for itself.

    >>> meaning("my_metric").label
    'My metric'
    """
    if metric in METRICS:
        return METRICS[metric]
    return Meaning(metric.replace("_", " ").capitalize(), "")
