"""`Outcome`: what came of a training, in words and as a classifier."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from foveal.backbone.spec import LAST
from foveal.core.words import number_of
from foveal.model.classifier import Classifier
from foveal.model.linear import LinearHead, softmax
from foveal.recipes.fitted import Fitted
from foveal.recipes.promise import held_out, promise_of
from foveal.recipes.rows import files_of, pixels_of, proof_rows
from foveal.recipes.task import Task
from foveal.recipes.training.begun import Begun
from foveal.recipes.training.diary import course_of
from foveal.train.head.temperature import temperature

if TYPE_CHECKING:
    from foveal.train.network.machine import Machine
    from foveal.train.network.run import Trained

NO_GAIN = "None was better than the network as it was, with the probe's head: none is kept."
HOW = "On the val part, which also chose the epoch,"


@dataclass(frozen=True, kw_only=True, eq=False)
class Outcome:
    """What came of a training."""

    task: Task  # with as many epochs as its budget allowed
    begun: Begun  # its network has the weights that were kept
    trained: Trained
    here: Machine
    stays: bool  # no epoch was better: the network is as it was, with the probe's head

    @cached_property
    def training(self) -> Mapping[str, Any]:
        """What the card says of the training, JSON-ready; no times are in it."""
        wanted, judges = self.task.settings.train, len(self.begun.rows.pairs[0][1])
        epochs, size_px = len(self.trained.epochs), self.begun.spec.preprocess.size_px
        frozen = f", frozen up to {wanted.freeze_until}" if wanted.freeze_until else ""
        sentence = (
            f"{number_of(epochs, 'epoch')} of {wanted.optimizer} at {size_px} "
            f"pixels with the policy {wanted.policy!r}{frozen}, judged on "
            f"{number_of(judges, 'val picture')}."
        )
        return {
            "strategy": wanted.strategy,
            "epochs": epochs,
            "kept": None if self.stays else self.trained.kept,  # None: the network as it was
            "policy": wanted.policy,
            "optimizer": wanted.optimizer,
            "batch": wanted.batch,
            "precision": self.here.precision,
            "size_px": size_px,
            "frozen_until": wanted.freeze_until,
            "val_images": judges,
            "sentence": f"{sentence} {NO_GAIN}" if self.stays else sentence,
        }

    @property
    def course(self) -> Mapping[str, Any]:
        """The training epoch by epoch, and the probe on the same val part, for ``run.json``."""
        return course_of(self.task, self.trained, self.begun.probe, self.training)

    def fitted(self) -> Fitted:
        """Return the network as a classifier, with everything known of it."""
        with self.task.clock("graph"):
            return self._fitted()

    def _fitted(self) -> Fitted:
        from foveal.backbone.torch_trained import backbone_of, head_of
        from foveal.train.network.answers import logits_and_features_of, logits_of
        from foveal.train.network.inputs import Inputs

        task, network, spec, rows = self.task, self.begun.network, self.begun.spec, self.begun.rows
        classes = rows.prepared.manifest.classes
        inputs = Inputs(preprocess=spec.preprocess, classes=len(classes), machine=self.here)
        ((_, val),) = rows.pairs
        shown = proof_rows(rows)
        val_pixels = pixels_of(rows, val.tolist(), spec.preprocess)
        logits_MK, last_MD = logits_and_features_of(network, val_pixels, inputs)
        proof_NK = logits_of(network, pixels_of(rows, shown, spec.preprocess), inputs)
        cool = temperature(logits_MK, rows.labels_N[val])
        weights = f"{spec.weights}, trained further on these pictures"
        classifier = Classifier(
            host=backbone_of(network, spec, weights=weights),
            classical=None,
            blocks=(LAST,),
            head=LinearHead(*head_of(network, spec.name)).cooled(cool),
            centre_D=last_MD.mean(axis=0, dtype=np.float64).astype(np.float32),
            classes=classes,
            temperature=cool,
        )
        with task.clock("promise"):
            promise = promise_of(held_out(rows, val, softmax(logits_MK / cool)), HOW)
        files = files_of(rows)
        return Fitted(
            classifier=classifier,
            prepared=rows.prepared,
            settings=task.settings,
            story={"head": "trained with the network", "training": self.training},
            promise=promise,
            baseline=self.begun.baseline,
            proof=(tuple(files[row].absolute() for row in shown), proof_NK / np.float32(cool)),
            broken=rows.broken,
            clock=task.clock,
            course=self.course,
        )
