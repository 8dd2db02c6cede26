"""Charts as Vega-Lite specifications, which the browser draws; the library is Streamlit's own."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from atelier.reports.leaderboard import front

BELOW = {"orient": "bottom", "columns": 2}
FRONT, BEHIND, YARDSTICK = "on the front", "behind it", "no method"


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


def pareto(frame: pd.DataFrame, yardsticks: tuple[str, ...]) -> None:
    """Distance to the paintings by what it costs in content, or in time where that is unknown."""
    x, title = ("content", "content distance to the photographs ↓")
    if x not in frame or frame[x].isna().all():
        x, title = "seconds_per_picture", "seconds per picture ↓"
    shown = frame.dropna(subset=[x, "frechet"])
    if len(shown) < 2:
        return
    outside = shown["method"].isin(yardsticks)
    best = [str(name) for name in front(shown[~outside], x)["method"]]
    places = [
        YARDSTICK if out else FRONT if name in best else BEHIND
        for name, out in zip(shown["method"], outside, strict=True)
    ]
    # A yardstick took no time; without a value it would not be drawn.
    seconds = shown["seconds_per_picture"].fillna(shown["seconds_per_picture"].min())
    kept = shown[list(dict.fromkeys(["method", x, "frechet"]))]
    kept = kept.assign(place=places, seconds_per_picture=seconds)
    st.vega_lite_chart(kept, _pareto_spec(x, title), height=460, alt=_told(best))
    st.caption(f"{_told(best)} Larger circles: slower.")


def _told(best: list[str]) -> str:
    return f"No other method beats these in both figures: {', '.join(best)}."


def _pareto_spec(x: str, title: str) -> dict[str, Any]:
    scale = (
        {"type": "log"}
        if x == "seconds_per_picture"
        else {"zero": False, "padding": 20, "nice": False}
    )
    axes = {
        "x": {"field": x, "type": "quantitative", "title": title, "scale": scale},
        "y": {
            "field": "frechet", "type": "quantitative", "title": "Fréchet distance ↓",
            "scale": {"zero": False, "padding": 15},
        },
    }  # fmt: skip
    places = {"domain": [FRONT, BEHIND, YARDSTICK], "range": ["#d9730d", "#4c8bb5", "#8a8f98"]}
    colour = {
        "field": "place", "type": "nominal", "scale": places, "title": None, "legend": BELOW,
    }  # fmt: skip
    on_front = [{"filter": f"datum.place === '{FRONT}'"}]
    named = [{"filter": f"datum.place !== '{BEHIND}'"}]  # the rest tell theirs under the pointer
    step = {"type": "line", "interpolate": "step-after", "strokeDash": [4, 4], "color": "#d9730d"}
    label = {"type": "text", "align": "left", "dx": 8, "dy": -6, "color": "#8a8f98"}
    dots = {"type": "point", "filled": True, "opacity": 0.8, "tooltip": {"content": "data"}}
    size = {
        "field": "seconds_per_picture", "type": "quantitative", "legend": None,
        "scale": {"type": "log", "range": [60, 700]},
    }  # fmt: skip
    return {
        "layer": [
            {"transform": on_front, "mark": step, "encoding": axes},
            {"mark": dots, "encoding": {**axes, "color": colour, "size": size}},
            {"transform": named, "mark": label, "encoding": {**axes, "text": {"field": "method"}}},
        ]
    }
