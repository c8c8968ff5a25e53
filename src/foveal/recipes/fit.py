"""Fit: which network, which rows, and the classifier that is made of the two."""

from __future__ import annotations

from dataclasses import replace

from foveal.backbone.catalog import default_backbone, pick
from foveal.backbone.settings import BackboneSettings
from foveal.core.listener import Listener
from foveal.data.manifest import Manifest
from foveal.recipes.clock import Clock
from foveal.recipes.fitted import Fitted
from foveal.recipes.orders import AUTO, FitSettings
from foveal.recipes.prepare import prepare
from foveal.recipes.probe import probe


def fit_classifier(
    data: Manifest, settings: FitSettings, listener: Listener, clock: Clock
) -> Fitted:
    """Return the classifier that held-out pictures prefer.

    Args:
        data: labelled, one class a picture.
        settings: every choice that is not the data's.
        listener: hears what was assumed, left out and chosen.
        clock: counts the seconds of each stage.

    Raises:
        BadData: where there is nothing to learn from.
        FovealError: from reading, from the backbone, see there.
    """
    with clock("backbone"):
        host = pick(_named(settings.backbone, listener), listener)
    with clock("reading files"):
        prepared = prepare(data, settings.prepare, listener)
    return probe(host, prepared, settings, listener, clock)


def _named(settings: BackboneSettings, listener: Listener) -> BackboneSettings:
    """Return the settings with the default backbone in place of "auto"."""
    if settings.backbone != AUTO:
        return settings
    name, why = default_backbone()
    listener.say(why)
    return replace(settings, backbone=name)
