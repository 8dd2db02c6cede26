"""The embedded sample: landscapes and paintings drawn by formula, so that the demo needs no data.

The "photographs" are relief, sky, water and plants seen through a small camera; the "paintings"
are original designs covered with strokes along a flow. They contain no third-party pictures. The
test pictures also include a few real photographs by others, free to use: see CREDITS.md.
"""

from __future__ import annotations

from atelier.datasets.synthetic.render import copy_photographs, render_sample

__all__ = ["copy_photographs", "render_sample"]
