"""The embedded sample: landscapes and paintings drawn by formula, so that the demo needs no data.

The "photographs" are relief, sky, water and plants seen through a small camera; the "paintings"
are designs of our own covered with strokes along a flow. No picture of anybody else is in them.
"""

from __future__ import annotations

from atelier.datasets.synthetic.render import render_sample

__all__ = ["render_sample"]
