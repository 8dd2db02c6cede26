"""Charts as Vega-Lite specifications, drawn in the browser by Streamlit's own library."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from atelier.core.baselines import BASELINES
from atelier.core.markdown import escaped
from atelier.metrics.catalogue import FIGURES, HEADLINE, PRICE
from atelier.reports.curves import on_log_axis, thinned
from atelier.reports.leaderboard import front, label

BELOW = {"orient": "bottom", "columns": 2}
SECONDS = "seconds_per_picture"
FRONT, BEHIND, BASELINE = "on the front", "behind it", "baseline"


def curves(frame: pd.DataFrame, alt: str, *, logarithmic: bool) -> None:
    """Draw losses (columns) by step (index); a click on the legend highlights one.

    A log scale omits what it cannot show, see ``on_log_axis``. Long curves are thinned before they
    reach the browser.
    """
    shown = thinned(on_log_axis(frame) if logarithmic else frame)
    long = shown.reset_index().melt("step", var_name="loss", value_name="value").dropna()
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


def pareto(frame: pd.DataFrame, thumbnails: Sequence[str]) -> None:
    """Distance to the paintings by what it costs in content, or in time where that is unknown.

    ``thumbnails`` are data addresses, one per row, "" for none; the pointer brings them out.
    """
    x = PRICE if PRICE in frame and frame[PRICE].notna().any() else SECONDS
    bounds = _bounds(frame)
    shown = frame.assign(image=thumbnails).dropna(subset=[x, HEADLINE])
    if len(shown) < 2:
        return
    outside = shown["method"].isin(BASELINES)
    best = [str(name) for name in front(shown[~outside], x)["method"]]
    places = [
        BASELINE if out else FRONT if name in best else BEHIND
        for name, out in zip(shown["method"], outside, strict=True)
    ]
    time = shown[SECONDS].map(FIGURES[SECONDS].text, na_action=None)
    # A baseline took no time; without a value it would not be drawn.
    seconds = shown[SECONDS].fillna(shown[SECONDS].min())
    # Neighbours on the front would cover each other's names: these stand above and below in turn.
    turn = [best.index(str(name)) % 2 if name in best else 0 for name in shown["method"]]
    kept = shown[list(dict.fromkeys(["method", "image", x, HEADLINE]))]
    kept = kept.assign(method=kept["method"].map(label), place=places, seconds_per_picture=seconds)
    kept = kept.assign(time=time, turn=turn)
    spec = _pareto_spec(x)
    spec["layer"] += [_line(name, value) for name, value in bounds.items()]
    st.vega_lite_chart(kept, spec, height=520, alt=_told(best))
    st.caption(f"{escaped(_told(best))} Larger circles: slower. Point at one for its picture.")


def _bounds(frame: pd.DataFrame) -> dict[str, float]:
    """Headline of the baselines that are drawn across, by label."""
    known = frame.dropna(subset=[HEADLINE]).set_index("method")[HEADLINE].to_dict()
    lines = {key: one.label for key, one in BASELINES.items() if one.line}
    return {text: float(known[key]) for key, text in lines.items() if key in known}


def _line(name: str, value: float) -> dict[str, Any]:
    """A dotted line across, which tells its name under the pointer."""
    mark = {"type": "rule", "strokeDash": [2, 3], "color": "#8a8f98", "tooltip": name, "size": 1.5}
    return {
        "data": {"values": [{HEADLINE: value}]}, "mark": mark,
        "encoding": {"y": {"field": HEADLINE, "type": "quantitative"}},
    }  # fmt: skip


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
    step = {"type": "line", "interpolate": "step-after", "strokeDash": [4, 4], "color": "#d9730d"}
    dots = {"type": "point", "filled": True, "opacity": 0.8}
    told = [{"field": "image"}, {"field": "method", "title": "method"}]
    told += [{"field": key, "title": FIGURES[key].label, "format": ".4~g"} for key in (x, HEADLINE)]
    told += [{"field": "time", "title": FIGURES[SECONDS].label}]
    size = {
        "field": SECONDS, "type": "quantitative", "legend": None,
        "scale": {"type": "log", "range": [60, 700]},
    }  # fmt: skip
    return {
        "layer": [
            {"transform": on_front, "mark": step, "encoding": axes},
            {"mark": dots, "encoding": {**axes, "color": colour, "size": size, "tooltip": told}},
            *(_names(axes, turn, height) for turn, height in enumerate((-8, 12))),
        ]
    }


def _names(axes: dict[str, Any], turn: int, height: int) -> dict[str, Any]:
    """Names of every other point of the front; the rest tell theirs under the pointer."""
    named = f"datum.place !== '{BEHIND}' && datum.turn === {turn}"
    mark = {"type": "text", "align": "left", "dx": 8, "dy": height, "color": "#8a8f98"}
    return {
        "transform": [{"filter": named}],
        "mark": mark,
        "encoding": {**axes, "text": {"field": "method"}},
    }
