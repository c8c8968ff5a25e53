"""Bytes to pixels, safely: the one implementation of decoding, resizing and cropping."""
