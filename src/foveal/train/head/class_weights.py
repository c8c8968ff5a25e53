"""How much an image counts by its class, as a choice by name."""

from __future__ import annotations

from typing import Literal

ClassWeights = Literal["none", "balanced"]  # every image alike, or every class
