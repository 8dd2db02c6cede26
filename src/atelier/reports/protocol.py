"""Protocol of the figures: what must accompany every one of them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from atelier.core.baselines import IDENTITY
from atelier.core.config import Params, UserError
from atelier.core.files import read_record
from atelier.core.paths import Results
from atelier.metrics.catalogue import HELD_OUT


def protocol(root: Path, params: Params, method: str) -> dict[str, str]:
    """Return a method's protocol for display: what must accompany every figure."""
    with suppress(UserError):
        found = read_record(Results(root).metrics(method))
        if not found:
            return {}
        made = read_record(Results(root).prepared.manifest)
        size = made.get("settings") or params.scaled("prepare")
        lines = {
            "Features": _joined(found, "features", "features_hash", "layer"),
            "Content and style": _joined(found, "perceptual", "perceptual_hash"),
            "LPIPS": _joined(found, "lpips_network"),
            "Pictures (n)": _joined(found, "n_generated"),
            "Reference set": f"{_joined(found, 'n_reference')} paintings{_held_out(found)} of the "
            f"data set {str(made.get('digest', '?'))[:12]}",
            "Resize": f"{size.get('resize', '?')} to {_pixels(size.get('size', '?'))} pixels",
            "Seed": str(params.seed_of(method) if method in params.method_names else params.seed),
            "Scale": params.scale,
        }
        return {name: text for name, text in lines.items() if text}
    return {}


def setting(root: Path, params: Params) -> str:
    """Return what all rows share: reference set, resize, seed, scale; "" before a run."""
    names = (*params.method_names, IDENTITY)
    found: dict[str, str] = next(filter(None, (protocol(root, params, n) for n in names)), {})
    kept = ("Reference set", "Resize", "Seed", "Scale")
    return " · ".join(f"{name.lower()}: {found[name]}" for name in kept if name in found)


def _pixels(size: Any) -> str:
    """Return ``prepare.size`` for display."""
    return f"{size[0]} (height) × {size[1]} (width)" if isinstance(size, list) else str(size)


def _held_out(found: Mapping[str, Any]) -> str:
    """Return the size of the second reference set, if there is one."""
    other = found.get(HELD_OUT)
    return f" and {other['n_reference']} held-out ones" if isinstance(other, dict) else ""


def _joined(found: Mapping[str, Any], *keys: str) -> str:
    return " ".join(str(found[key]) for key in keys if found.get(key))
