"""Write which weights of the zoo each training begins from; nothing for training from scratch.

Each training depends on its own small file, so that a new entry re-trains only what begins from it.
A missing or broken entry is recorded there, too: its training reports it, and no other stops.
"""

from pathlib import Path

from atelier.core import zoo_files
from atelier.core.config import Params, UserError
from atelier.core.files import write_json
from atelier.core.paths import Results
from atelier.tracking.stage import stage

if __name__ == "__main__":
    with stage("pretrained"):
        params = Params.load()
        for name in params.method_names:
            try:
                found = zoo_files.warm_facts(params.method(name), name, Path())
            except UserError as error:
                found = {"problem": str(error)}
                print(f"{name}: {error}")
            write_json(Results().pretrained / f"{name}.json", found)
