"""Why bytes are not a picture, in a few words for the person whose folder it lies in."""

from __future__ import annotations

import re

from PIL import Image, UnidentifiedImageError

READ = {  # how the formats we read begin
    "JPEG": rb"\xff\xd8",
    "PNG": rb"\x89PNG",
    "WebP": rb"RIFF....WEBP",
    "GIF": rb"GIF8",
    "BMP": rb"BM",
    "TIFF": rb"II\*\x00|MM\x00\*",
    "AVIF": rb"....ftypavi[fs]",
}
NOT_READ = {  # what else turns up in folders of pictures
    "HEIC": rb"....ftyp(hei|hev|mif1|msf1)",
    "Video": rb"....ftyp",
    "PSD": rb"8BPS",
    "ICO": rb"\x00\x00\x01\x00",
    "JPEG 2000": rb"\x00\x00\x00\x0cjP|\xff\x4f\xff\x51",
    "JPEG XL": rb"\x00\x00\x00\x0cJXL|\xff\x0a",
    "PNM": rb"P[1-7fF]\s",
    "DICOM": rb"[\s\S]{128}DICM",
    "PDF": rb"%PDF",
    "PostScript": rb"%!PS",
    "SVG": rb"[^\x00]{0,512}<svg",
    "ZIP": rb"PK\x03\x04",
    "gzip": rb"\x1f\x8b",
}


def reason(data: bytes, error: Exception) -> str:
    """Return one short line: what is wrong with ``data``, given what Pillow raised about it.

    >>> reason(b"<!DOCTYPE html><p>Not found", UnidentifiedImageError())
    'not a picture: looks like HTML'
    >>> reason(b"8BPS...", UnidentifiedImageError())
    'PSD is not read: save it as PNG or JPEG'
    """
    if not data:
        return "empty file"
    if isinstance(error, Image.DecompressionBombError):
        if found := re.search(r"\((\d+) pixels\)", str(error)):
            return too_many(int(found[1]))
        return "too many pixels"
    if isinstance(error, MemoryError):
        return "needs more memory than there is"
    text = " ".join(str(error).split())
    if isinstance(error, UnidentifiedImageError):
        return _unidentified(data)
    if "truncated" in text.lower():
        return "truncated: the end of the file is missing"
    return f"damaged: {text[:120]}" if text else f"damaged ({type(error).__name__})"


def too_many(pixels: int) -> str:
    """Say that a header announces more pixels than are decoded.

    >>> too_many(900_000_000)
    'too many pixels: 900 megapixels'
    """
    return f"too many pixels: {pixels / 1e6:.0f} megapixels"


def _unidentified(data: bytes) -> str:
    if name := _known(READ, data):
        return f"damaged: begins like {name}, but its header makes no sense"
    if name := _known(NOT_READ, data):
        return f"{name} is not read: save it as PNG or JPEG"
    head = data[:1024].lower()
    if b"<html" in head or head.lstrip().startswith(b"<!doctype html"):
        return "not a picture: looks like HTML"
    if not data.strip(b"\0"):
        return "not a picture: zeros only"
    if re.fullmatch(rb"[\t\r\n\x20-\x7e]*", head):
        return "not a picture: looks like text"
    return "not a picture"


def _known(patterns: dict[str, bytes], data: bytes) -> str:
    """Return which of ``patterns`` the data begin with; empty if none."""
    return next(
        (name for name, pattern in patterns.items() if re.match(pattern, data, re.DOTALL)), ""
    )
