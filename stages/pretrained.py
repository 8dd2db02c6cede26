"""Write which weights of the zoo each training begins from, and nothing for one that begins anew.

DVC sees a training's own small file, so that a new entry re-trains what begins from it alone.
"""

from pathlib import Path

from atelier.core import zoo_files
from atelier.core.config import Params
from atelier.core.files import write_json
from atelier.core.paths import Results
from atelier.tracking.stage import stage

if __name__ == "__main__":
    with stage("pretrained"):
        params = Params.load()
        for name in params.method_names:
            found = zoo_files.warm_facts(params.method(name), name, Path())
            write_json(Results().pretrained / f"{name}.json", found)
