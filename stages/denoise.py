"""Denoise one method's pictures: Zero-Shot Noise2Noise, a network for every picture."""

from functools import partial
from pathlib import Path

from atelier.core.config import Params, UserError
from atelier.core.files import write_json
from atelier.core.paths import Results
from atelier.core.stage_settings import DENOISE, is_among, refuse_older
from atelier.tracking.stage import stage, stage_entry, tune_process


def main(name: str) -> None:
    params = Params.load()
    if is_among(params.names_of(name), params.scaled(DENOISE).get("on", "all")):
        denoise(name, params)
        return
    refuse_older(name, None)
    print(f"{name}: is not among the entries to be denoised (denoise.on)")
    write_json(Results().denoised(name).record, {"method": name})


def denoise(name: str, params: Params) -> None:
    # imported here: an entry that is not denoised need not wait for torch
    from atelier.core.device import pick_device  # noqa: PLC0415
    from atelier.core.fingerprint import stage_code  # noqa: PLC0415
    from atelier.core.images import find  # noqa: PLC0415
    from atelier.core.pairing import read_pairs  # noqa: PLC0415
    from atelier.core.records import digest_of, set_aside  # noqa: PLC0415
    from atelier.core.resume import checkpoint_folder, drop  # noqa: PLC0415
    from atelier.core.workers import workers_of  # noqa: PLC0415
    from atelier.engine.curves import write_curves  # noqa: PLC0415
    from atelier.engine.elsewhere import Elsewhere  # noqa: PLC0415
    from atelier.engine.processes import Processes  # noqa: PLC0415
    from atelier.engine.stylize import cost, mean_curves, stylize, write_outputs  # noqa: PLC0415
    from atelier.methods.zsn2n import (  # noqa: PLC0415
        CHOICE,
        Denoiser,
        DenoiseSettings,
        denoise_jobs,
    )

    out, block, device = Results().denoised(name), params.scaled(DENOISE), pick_device(params)
    settings = DenoiseSettings.build(block, "denoise", params.places("denoise"))
    refuse_older(name, settings.deciding(block, params.names_of(name)))
    source = Results().stylized(name)
    pictures = find(source.images)
    jobs = denoise_jobs(pictures, settings.pictures, params.seed)
    method, pairs = Denoiser(settings, params.seed, device), read_pairs(source.record)
    if missing := sorted(set(pairs) - {path.stem for path in pictures}):
        raise UserError(f"{', '.join(missing)}: not stylised; run dvc repro stylize@{name} --force")
    before = digest_of(pictures)
    own = {key: value for key, value in block.items() if key not in CHOICE}
    names = [job.photo for job in jobs]
    key = {"parameters": own, "seed": params.seed, "pictures": before, "chosen": names}
    key["card"] = method.card()
    kept = checkpoint_folder(f"denoise-{name}", key, stage_code("denoise"))
    with workers_of(params) as workers:
        build = partial(Denoiser, settings, params.seed)
        several = settings.workers > 1 and device == "cpu"
        local = Processes(method, settings.workers).make if several else None
        pool = Elsewhere(workers, params, build, method.card()).make if workers else local
        records = stylize(method, jobs, kept, lambda *_: None, f"denoise {name}", elsewhere=pool)
    write_outputs(jobs, kept, out.images)
    curves = mean_curves(records)
    write_curves(curves, out.curves, method.places(len(curves["total"])))
    spent = {key: value for key, value in cost(records).items() if key != "peak_memory_mib"}
    record = {"method": name, **spent}
    record = set_aside(Path(), name, "denoise", record, before)
    write_json(out.record, {**record, "parameters": settings.model_dump(exclude={*CHOICE})})
    drop(kept)


if __name__ == "__main__":
    tune_process()
    entry = stage_entry()
    with stage("denoise", entry):
        main(entry)
