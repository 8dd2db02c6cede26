"""Charts as Vega-Lite specifications, which the browser draws; the library is Streamlit's own."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from atelier.core.markdown import escaped
from atelier.metrics.catalogue import FIGURES, HEADLINE, PRICE
from atelier.reports.leaderboard import BASELINES, front, label

BELOW = {"orient": "bottom", "columns": 2}
SECONDS = "seconds_per_picture"
FRONT, BEHIND, BASELINE = "on the front", "behind it", "baseline"


def curves(frame: pd.DataFrame, alt: str, *, logarithmic: bool) -> None:
    """Draw losses (columns) by step (index); a click on the legend brings one out.

    A log scale drops what is not positive.
    """
    long = frame.reset_index().melt("step", var_name="loss", value_name="value").dropna()
    if logarithmic:
        long = long[long["value"] > 0]
    scale = {"type": "log"} if logarithmic else {"zero": False}
    colour = {"field": "loss", "type": "nominal", "sort": None, "title": None, "legend": BELOW}
    picked = {"name": "picked", "select": {"type": "point", "fields": ["loss"]}, "bind": "legend"}
    spec = {
        "params": [picked],
        "mark": {"type": "line", "point": {"size": 12}, "tooltip": True},
        "encoding": {
            "x": {"field": "step", "type": "quantitative", "title": "step"},
            "y": {"field": "value", "type": "quantitative", "scale": scale, "title": None},
            "color": {**colour, "scale": {"scheme": "tableau20"}},
            "opacity": {"condition": {"param": "picked", "value": 1}, "value": 0.15},
        },
    }
    st.vega_lite_chart(long, spec, height=340 + 14 * frame.shape[1], alt=alt)


def pareto(frame: pd.DataFrame) -> None:
    """Distance to the paintings by what it costs in content, or in time where that is unknown."""
    x = PRICE if PRICE in frame and frame[PRICE].notna().any() else SECONDS
    shown = frame.dropna(subset=[x, HEADLINE])
    if len(shown) < 2:
        return
    outside = shown["method"].isin(BASELINES)
    best = [str(name) for name in front(shown[~outside], x)["method"]]
    places = [
        BASELINE if out else FRONT if name in best else BEHIND
        for name, out in zip(shown["method"], outside, strict=True)
    ]
    # A baseline took no time; without a value it would not be drawn.
    seconds = shown[SECONDS].fillna(shown[SECONDS].min())
    kept = shown[list(dict.fromkeys(["method", x, HEADLINE]))]
    kept = kept.assign(method=kept["method"].map(label), place=places, seconds_per_picture=seconds)
    st.vega_lite_chart(kept, _pareto_spec(x), height=460, alt=_told(best))
    st.caption(f"{escaped(_told(best))} Larger circles: slower.")


def _axis(key: str, scale: dict[str, Any]) -> dict[str, Any]:
    title = f"{FIGURES[key].name} ↓"
    return {"field": key, "type": "quantitative", "title": title, "scale": scale}


def _told(best: list[str]) -> str:
    return f"No other method beats these in both figures: {', '.join(best)}."


def _pareto_spec(x: str) -> dict[str, Any]:
    scale = {"type": "log"} if x == SECONDS else {"zero": False, "padding": 20, "nice": False}
    axes = {
        "x": _axis(x, scale),
        "y": _axis(HEADLINE, {"zero": False, "padding": 15}),
    }
    places = {"domain": [FRONT, BEHIND, BASELINE], "range": ["#d9730d", "#4c8bb5", "#8a8f98"]}
    colour = {
        "field": "place", "type": "nominal", "scale": places, "title": None, "legend": BELOW,
    }  # fmt: skip
    on_front = [{"filter": f"datum.place === '{FRONT}'"}]
    named = [{"filter": f"datum.place !== '{BEHIND}'"}]  # the rest tell theirs under the pointer
    step = {"type": "line", "interpolate": "step-after", "strokeDash": [4, 4], "color": "#d9730d"}
    label = {"type": "text", "align": "left", "dx": 8, "dy": -6, "color": "#8a8f98"}
    dots = {"type": "point", "filled": True, "opacity": 0.8, "tooltip": {"content": "data"}}
    size = {
        "field": SECONDS, "type": "quantitative", "legend": None,
        "scale": {"type": "log", "range": [60, 700]},
    }  # fmt: skip
    return {
        "layer": [
            {"transform": on_front, "mark": step, "encoding": axes},
            {"mark": dots, "encoding": {**axes, "color": colour, "size": size}},
            {"transform": named, "mark": label, "encoding": {**axes, "text": {"field": "method"}}},
        ]
    }
