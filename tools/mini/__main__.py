"""Distil ``mini`` from VGG19 on a folder of pictures; resumes an interrupted run.

    python -m tools.mini DATA OUT [--steps 4500] [--seed 0] [--device cpu]

DATA is searched for pictures at any depth; a tenth, chosen by file name, is held out. VGG19's
weights are found as usual (ATELIER_WEIGHTS). OUT gets the checkpoint, the examples the last layer
is fitted to and, at the end, mini.safetensors (float16) and its card, mini.json. With equal seed,
pictures and number of threads, the weights are equal bit for bit.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tools.mini import head
from tools.mini.corpus import Corpus, split
from tools.mini.export import export, held_out_losses
from tools.mini.training import TAPS, DistillSettings, Trainer
from torch import Tensor

from atelier.core.config import UserError
from atelier.core.files import atomic, read_json, write_json
from atelier.core.torch_files import read_torch
from atelier.nn.pretrained.features import load_features
from atelier.nn.pretrained.weights import digest
from atelier.tracking.client import Run, open_run
from atelier.tracking.progress import progress

SAVE_EVERY, LOG_EVERY, CHECK_EVERY = 250, 10, 500
DATA = (
    "landscape and everyday photographs, paintings by Van Gogh and by others; seeded crops with "
    "flips, scale and colour jitter, damaged copies, and pictures optimised against the student"
)


def main(data: Path, out: Path, settings: DistillSettings, device: str = "cpu") -> None:
    """Train, then write weights and card."""
    kept, held = split(data)
    teacher = load_features("vgg19", TAPS, unit_activations=True, device=device)
    training = Trainer(settings, Corpus(kept, settings.side), teacher, device)
    known = {**settings.model_dump(), "pictures": len(kept), "held_out": len(held)}
    checkpoint, note = out / "checkpoint.pt", out / "run.json"
    before: dict[str, Any] = {"run_id": None, "seconds": 0.0}
    if checkpoint.is_file():
        training.restore(checkpoint)
        before = read_json(note)
    began = time.monotonic() - before["seconds"]
    with open_run("mini", "train", known, run_id=before["run_id"]) as run:

        def note_time() -> None:
            write_json(note, {"run_id": run.id, "seconds": time.monotonic() - began})

        check = Corpus(held, settings.side)
        for at in progress(training.run(), settings.steps - training.step, "mini"):
            if at.step % LOG_EVERY == 0:
                run.metrics(at.losses, at.step)
            if at.step % CHECK_EVERY == 0:
                report(training, check, run)
            if at.step % SAVE_EVERY == 0 or at.step == settings.steps:
                note_time()
                training.save(checkpoint)
        figures = report(training, check, run)
        figures["vector_unexplained"] = fit_vector(training, check, out, note_time)
        run.metrics({"held_out.vector_unexplained": figures["vector_unexplained"]}, training.step)
        facts = {
            "data": {"words": DATA, "pictures": len(kept), "held_out": len(held)},
            "steps": training.step,
            "torch": torch.__version__,
            "device": device,
            "threads": torch.get_num_threads(),
            "minutes": round((time.monotonic() - began) / 60, 1),
            "held_out_losses": {name: round(value, 4) for name, value in figures.items()},
        }
        written = export(training, out, facts)
        run.artifact(written)
        run.artifact(written.with_suffix(".json"))
    print(f"wrote {written} and its card")


def fit_vector(training: Trainer, check: Corpus, out: Path, note_time: Callable[[], None]) -> float:
    """Fit the student's last layer; return the unexplained variance on held-out pictures."""
    parts = [
        collect(training, corpus, batches, out / f"examples_{name}.pt", note_time)
        for name, corpus, batches in (
            ("kept", training.corpus, head.BATCHES),
            ("held_out", check, head.BATCHES // 10),
        )
    ]
    fitted = head.fit(training.student.vector, *parts[0])
    return fitted.unexplained(training.student.vector, *parts[1])


def collect(
    training: Trainer, corpus: Corpus, batches: int, path: Path, note_time: Callable[[], None]
) -> list[Tensor]:
    """Return the examples of the fit, (N, D) and (N, 512); resume those in ``path``."""
    t, student = training, digest(training.student.state_dict())
    origin = f"{student} {t.teacher.hash} {len(corpus.pictures)} {head.ROWS} {head.SIDES}"
    before: dict[str, Any] = read_torch(path) if path.is_file() else {}
    rows: list[tuple[Tensor, Tensor]] = before["rows"] if before.get("origin") == origin else []
    left = range(len(rows), batches)
    found = head.examples(t.student, t.teacher, corpus, t.settings.seed, t.device, left)
    for pair in progress(found, len(left), path.stem):
        rows.append(pair)
        if len(rows) % SAVE_EVERY == 0 or len(rows) == batches:
            note_time()
            with atomic(path) as part:
                torch.save({"origin": origin, "rows": rows}, part)
    return [torch.cat(part) for part in zip(*rows[:batches], strict=True)]


def report(training: Trainer, check: Corpus, run: Run) -> dict[str, float]:
    """Log and print the losses on held-out pictures."""
    figures = held_out_losses(training, check)
    run.metrics({f"held_out.{name}": value for name, value in figures.items()}, training.step)
    line = ", ".join(f"{name} {value:.4f}" for name, value in figures.items())
    print(f"\nstep {training.step}, held out: {line}", flush=True)
    return figures


if __name__ == "__main__":
    options = argparse.ArgumentParser(description="Distil mini from VGG19.")
    options.add_argument("data", type=Path, help="folder of pictures")
    options.add_argument("out", type=Path, help="folder for checkpoint, weights and card")
    options.add_argument("--steps", type=int, default=DistillSettings().steps)
    options.add_argument("--seed", type=int, default=DistillSettings().seed)
    options.add_argument("--device", default="cpu", help="cpu, cuda, …")
    asked = options.parse_args()
    settings = DistillSettings(steps=asked.steps, seed=asked.seed)
    try:
        main(asked.data, asked.out, settings, asked.device)
    except UserError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("\nstopped; the same command resumes from the last checkpoint")
