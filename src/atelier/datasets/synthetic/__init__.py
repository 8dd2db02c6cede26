"""The embedded sample: landscapes and paintings drawn by formula, so that the demo needs no data.

The "photographs" are relief, sky, water and plants seen through a small camera; the "paintings"
are designs of our own covered with strokes along a flow. No picture of anybody else is in them. To
the test pictures a few real photographs are added, by others and free to use: see CREDITS.md.
"""

from __future__ import annotations

from atelier.datasets.synthetic.render import copy_photographs, render_sample

__all__ = ["copy_photographs", "render_sample"]
