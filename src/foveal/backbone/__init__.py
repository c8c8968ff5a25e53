"""Frozen networks as ONNX graphs: where they come from, what they give, how they run."""
