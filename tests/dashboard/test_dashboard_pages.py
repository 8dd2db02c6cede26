"""*Leaderboard* and *Runs*."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from atelier.core.baselines import BASELINES
from parts.columns import arranged
from support.hostile import TEXTS, brought_in
from support.projects import METRICS, RUN, alone_in, alts, heads, put, repeat, show, words


@pytest.fixture
def done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return alone_in(tmp_path, monkeypatch)


def spec(app: AppTest) -> str:
    """The charts of a page, as the browser gets them."""
    return "".join(block.proto.spec for block in app.get("vega_lite_chart"))


def test_the_table_has_pictures_figures_and_baselines(done: Path) -> None:
    app = show("leaderboard")
    table = app.dataframe[0].value
    assert table["method"].tolist() == [
        "cut_x", "gatys", *(one.label for one in BASELINES.values())
    ]  # fmt: skip
    assert table["frechet"].tolist() == [9.25, 12.5, 30.0, 20.0, 1.0, 2.0]
    assert table["kid"].tolist() == [250.0] * 6
    assert table["picture"].str.startswith("data:image/webp").all()
    assert "lower is better" in words(app)
    assert app.get("download_button")
    assert not app.warning


def test_a_column_without_any_value_is_left_out_and_an_unknown_one_shown(done: Path) -> None:
    frame = show("leaderboard").dataframe[0].value
    assert "error" not in frame
    assert list(arranged(frame.assign(surprise=1.0, error="")))[-1] == "surprise"
    both = list(arranged(frame.assign(held_out_frechet=9.0)))
    assert both.index("held_out_frechet") == both.index("frechet") + 1
    trained = list(arranged(frame.assign(training_seconds=9.0, training_photos=40)))
    assert trained.index("training_photos") == trained.index("training_seconds") + 1


def test_selected_rows_are_taken_to_the_comparison(done: Path) -> None:
    app = show("leaderboard")
    app.selectbox(key="of").set_value("beach").run()
    button = next(b for b in app.button if "Compare" in b.label)
    assert button.disabled
    app.session_state["rows"] = {"selection": {"rows": [1, 2], "columns": [], "cells": []}}
    app.run()
    next(b for b in app.button if "Compare" in b.label).click().run()
    assert not app.exception
    assert heads(app)[0] == "Compare"
    assert alts(app)[:3] == ["the photograph beach", "the painting iris", "beach by gatys"]
    assert "beach by cut_x" not in alts(app)


def test_scores_of_different_features_come_with_a_warning(done: Path) -> None:
    put(done, "metrics/gatys.json", {**METRICS, "features_hash": "other"})
    assert "different features" in show("leaderboard").warning[0].value


def test_a_failed_method_keeps_its_row_and_says_why(done: Path) -> None:
    put(done, "status/gatys.json", {"stage": "train", "state": "failed", "error": "no *memory*"})
    app = show("leaderboard")
    table = app.dataframe[0].value.set_index("method")
    assert table.loc["gatys", "status"] == "failed"
    assert table["frechet"].isna()["gatys"]
    assert r"no \*memory\*" in app.error[0].value


def test_a_broken_record_is_named(done: Path) -> None:
    put(done, "metrics/gatys.json", "{")
    app = show("leaderboard")
    assert app.dataframe[0].value.set_index("method").loc["gatys", "status"] == "failed"
    assert "results/metrics/gatys.json: cannot be read as JSON" in words(app)


def test_the_protocol_stands_beside_the_figures(done: Path) -> None:
    text = words(show("leaderboard"))
    for part in ("mini abcd relu5_1", "4 paintings", "crop to 8 pixels", "42", "demo"):
        assert part in text


def test_published_figures_stand_apart(done: Path) -> None:
    ours, others = (table.value for table in show("leaderboard").dataframe)
    assert "system" not in ours
    assert others["system"].tolist()[0] == "CycleGAN"
    titles = [e.label for e in show("leaderboard").expander]
    assert "Published scores, on other data and protocols" in titles


def test_the_plot_draws_the_front(done: Path) -> None:
    app = show("leaderboard")
    assert "seconds_per_picture" in spec(app)
    assert '"image"' in spec(app), "under the pointer a point shows its picture"
    assert "No other method beats these in both figures: cut_x." in words(app)


def test_a_run_shows_what_it_left(done: Path) -> None:
    app = show("runs", run="cut_x")
    assert heads(app) == ["Runs", "Curves", "Samples", "Commands", "Parameters"]
    assert [(m.label, m.value) for m in app.metric] == [
        ("Steps", "10"), ("Training", "31 s"), ("Parameters", "766,499"), ("Weights", "3.1 MB"),
    ]  # fmt: skip
    assert alts(app) == [
        "alps by cut_x, snapshots photograph",
        "alps by cut_x, snapshots step 000010",
    ]
    assert "dvc repro train@cut_x stylize@cut_x evaluate@cut_x" in words(app)
    assert '"log"' in spec(app)
    app.toggle[0].set_value(False).run()
    assert '"log"' not in spec(app)


def test_a_run_with_other_settings_says_so_and_sets_them_back(done: Path) -> None:
    text = (done / "params.yaml").read_text()
    (done / "params.yaml").write_text(text.replace("lr: 0.5", "lr: 0.25"))
    app = show("runs", run="cut_x")
    assert "params.yaml has changed since" in app.warning[0].value
    assert "dvc exp run" in words(app)
    assert "scales.demo.cut_x.lr=0.5" in words(app)


def test_parameters_that_differ_come_first(done: Path) -> None:
    app = show("runs", run="cut_x")
    assert list(app.dataframe[-1].value) == ["cut_x"]
    app.multiselect[0].set_value(["gatys", "cut_x"]).run()
    table = app.dataframe[-1].value
    assert list(table.index) == ["class", "lr", "steps", "features"]
    assert table["differs"].all()


def test_the_link_to_the_run_or_why_there_is_none(done: Path) -> None:
    assert "the tracking store mlflow.db is gone" in words(show("runs", run="cut_x"))
    with closing(sqlite3.connect(done / "mlflow.db")) as store, store:
        store.execute("CREATE TABLE runs (run_uuid, experiment_id, lifecycle_stage)")
        store.execute("INSERT INTO runs VALUES (?, 7, 'active')", (RUN,))
    link = show("runs", run="cut_x").get("link_button")[0].proto
    assert link.url == f"http://127.0.0.1:5000/#/experiments/7/runs/{RUN}"
    assert "Tracking was not available" in words(show("runs", run="gatys"))


def test_rows_are_compared_with_a_chosen_one(done: Path) -> None:
    values = {"gatys": [12.0, 12.5, 13.0], "cut_x": [9.1, 9.2, 9.3]}
    for name, left_out in values.items():
        put(done, f"metrics/{name}.json", {**METRICS, "left_out": {"frechet": left_out}})
    put(done, "metrics/cut_x.json", {**METRICS, "frechet": 1, "left_out": {"frechet": [1, 1.1, 1]}})
    app = show("leaderboard")
    assert not {name for name in app.dataframe[0].value if str(name).startswith("than ")}
    app.selectbox(key="against").select("gatys").run()
    table = app.dataframe[0].value.set_index("method")
    assert list(table)[:3] == ["picture", "to gatys", "than gatys"]
    assert table["than gatys"]["cut_x"] == "better"
    assert table["than gatys"]["Noise floor"] == "-"
    app.selectbox(key="against").select("noise_floor").run()
    assert "no paired differences of frechet; run dvc repro evaluate" in words(app)


def test_seeds_of_an_entry_are_one_row_until_one_wants_each(done: Path) -> None:
    repeat(done)
    app = show("leaderboard")
    table = app.dataframe[0].value.set_index("method")
    assert table.loc["gatys", ["frechet", "seeds"]].tolist() == [13.5, 2]
    assert table.loc["gatys", "kid_over_seeds"] == 0
    assert "gatys_2" not in table.index
    app.toggle(key="seeds").set_value(False).run()
    table = app.dataframe[0].value.set_index("method")
    assert table["frechet"][["gatys", "gatys_2"]].tolist() == [12.5, 14.5]
    assert "seeds" not in table


@pytest.mark.parametrize("first", range(0, len(TEXTS), 4))
def test_a_card_brings_in_nothing_from_elsewhere(done: Path, first: int) -> None:
    """Four texts at once, each in its place."""
    kind, features, hashed, error = (TEXTS[n % len(TEXTS)] for n in range(first, first + 4))
    card = {"kind": kind, "features": features, "features_hash": hashed}
    put(done, "models/cut_x/card.json", card)
    put(done, "status/gatys.json", {"stage": "train", "state": "failed", "error": error})
    for app in (show("runs", run="cut_x"), show("leaderboard")):
        assert not app.exception
        blocks = [*app.markdown, *app.caption, *app.error, *app.warning, *app.info]
        assert [block.value for block in blocks if brought_in(block.value)] == []
