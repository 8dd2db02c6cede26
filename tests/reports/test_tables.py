"""The comparison as people read it: in the terminal, and as Markdown."""

from __future__ import annotations

import pandas as pd
import pytest

from atelier.reports.literature import published
from atelier.reports.tables import (
    WRITERS,
    caution,
    protocol,
    shown,
    to_latex,
    to_markdown,
    to_text,
)
from support.hostile import TEXTS, brought_in
from support.tables import MINI, frame, row


@pytest.fixture
def mixed() -> pd.DataFrame:
    counts = {"n_generated": 24, "n_reference": 20}
    return frame(
        row("gatys", frechet=12.54, kid=0.0123, kid_sd=0.001, content=0.2, **counts, **MINI),
        row("a|b", frechet=1234.0, denoised_frechet=9.0, lpips=0.25, **counts, **MINI),
        row("cut", status="failed", error="train: no\nmemory"),
    )


def test_the_text_is_aligned_and_names_the_reasons(mixed: pd.DataFrame) -> None:
    table, made_with, note, reasons = to_text(mixed).split("\n\n")
    lines = table.splitlines()
    assert lines[0].split()[:4] == ["method", "status", "frechet", "denoised"]
    end = lines[0].index("frechet") + len("frechet")
    assert [line[:end].split()[-1] for line in lines[2:]] == ["12.5", "1,234.0", "-"]
    assert "12 ± 1" in lines[2]
    assert "24 : 20" in lines[2]
    assert made_with.startswith("frechet, kid: mini abcdef0123456789 relu5_1")
    assert note.startswith("frechet: on mini features; comparable within this table only, not with")
    assert reasons == "cut: train: no memory"


def test_rows_that_did_not_begin_from_scratch_stand_by_their_data_and_steps() -> None:
    first = "12,000 steps on photographs and Van Gogh"
    rows = [row(name, frechet=1.0, pretrained=f"{first}, then 20", **MINI) for name in ("a", "b")]
    rows.append(row("c", frechet=1.5, pretrained=first, **MINI))
    rows.append(row("d", frechet=1.6, pretrained="30 steps on noise", **MINI))
    table = frame(*rows, row("gatys", frechet=2.0, **MINI))
    data = "pretrained on photographs and Van Gogh: a, b (12,000 steps, then 20), c (12,000 steps)"
    for text in (to_text(table), to_markdown(table)):
        assert text.count(f"{data} · pretrained on noise: d (30 steps)") == 1
    assert "pretrained" not in to_text(table[table["method"] == "gatys"])


def test_columns_nobody_fills_are_left_out(mixed: pd.DataFrame) -> None:
    assert {"content", "lpips", "status"} <= set(shown(mixed))
    assert not {"style", "style set", "artfid", "features"} & set(shown(mixed))
    assert "status" not in shown(mixed[mixed["status"] == "ok"])


def test_rows_with_other_features_name_them(mixed: pd.DataFrame) -> None:
    mixed.loc[1, ["features", "features_hash"]] = ["vgg19", "99"]
    assert shown(mixed)["features"].tolist() == ["mini abcdef01", "vgg19 99", "-"]
    assert "mini abcdef0123456789 relu5_1, vgg19 99 relu5_1" in protocol(mixed)[0]


def test_the_markdown_keeps_the_published_rows_apart(mixed: pd.DataFrame) -> None:
    ours, others = to_markdown(mixed).split("## Published scores, on other data and protocols")
    assert "| gatys |" in ours
    assert "203.46" not in ours
    assert "| CycleGAN | FID | 203.46 |" in others
    assert "Not comparable" in others
    tables = [line for line in ours.splitlines() if line.startswith("|")]
    assert {line.replace(r"\|", "").count("|") for line in tables} == {tables[0].count("|")}


def test_published_rows_are_ordered_within_each_metric() -> None:
    for _, rows in published().groupby("metric"):
        assert rows["value"].is_monotonic_increasing
        assert len(rows) > 1
    assert published()["value"].notna().all()


def test_only_the_network_of_fid_needs_no_caution(mixed: pd.DataFrame) -> None:
    assert "not with a published FID" in caution(mixed)
    assert caution(mixed.assign(features="inception_fid")) == ""
    assert caution(mixed.assign(features="")) == ""


def test_what_all_rows_share_stands_in_the_protocol_line(mixed: pd.DataFrame) -> None:
    for text in (to_text(mixed, "seed: 42"), to_markdown(mixed, "seed: 42")):
        (line,) = [line for line in text.splitlines() if line.startswith("frechet, kid: ")]
        assert line.endswith(" · seed: 42")


def test_nothing_finished_has_no_protocol() -> None:
    none = frame(row("gatys", status="not run"))
    assert protocol(none) == ["", ""]
    assert to_text(none).count("\n\n") == 0


def test_latex_escapes_and_aligns(mixed: pd.DataFrame) -> None:
    mixed.loc[1, "method"] = "fast_night"
    text = to_latex(mixed, "seed: 42", {"than gatys": ["-", "worse", "-"]})
    assert r"fast\_night" in text
    body = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert {line.count(" & ") for line in body} == {body[0].count(" & ")}
    assert body[0].startswith("method & status & frechet")
    assert "worse" in body[2]
    head = text.partition(r"\toprule")[0]
    assert r"\begin{tabular}{llr" in head
    assert "% frechet, kid: mini abcdef0123456789 relu5_1" in head
    assert "seed: 42" in head


def test_every_format_has_the_further_columns(mixed: pd.DataFrame) -> None:
    for write in WRITERS.values():
        assert "than gatys" in write(mixed, "", {"than gatys": ["-", "worse", "better"]})
        assert "than gatys" not in write(mixed, "", None)


@pytest.mark.parametrize("text", TEXTS)
def test_a_record_brings_nothing_from_elsewhere_into_the_markdown(
    mixed: pd.DataFrame, text: str
) -> None:
    for column in ("features", "features_hash", "pretrained", "perceptual", "method", "status"):
        assert brought_in(to_markdown(mixed.assign(**{column: text}), text)) == []
