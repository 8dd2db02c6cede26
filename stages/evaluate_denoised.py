"""Score one method's denoised pictures, if there are any; nothing else depends on them."""

from atelier.core.config import Params
from atelier.core.files import write_json
from atelier.core.pairing import read_pairs
from atelier.core.paths import Results
from atelier.tracking.stage import stage, stage_entry, tune_process

RESULTS = Results()


def main(name: str) -> None:
    clean, pairs = RESULTS.denoised(name).images, read_pairs(RESULTS.stylized(name).record)
    kept = {photo: style for photo, style in pairs.items() if (clean / f"{photo}.png").is_file()}
    scores = {}
    if kept:
        # imported here: an entry that is not denoised need not wait for torch
        from atelier.metrics.reference import score_made  # noqa: PLC0415

        scores = score_made(Params.load(), name, clean, kept)
    write_json(RESULTS.denoised_metrics(name), {"method": name, **scores})


if __name__ == "__main__":
    tune_process()
    entry = stage_entry()
    with stage("evaluate_denoised", entry):
        main(entry)
