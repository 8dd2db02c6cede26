"""The dashboard: what every method makes of every photograph, and how it got there.

Start with ``streamlit run dashboard/app.py``; reads ``params.yaml``, ``results/`` and the runs.
"""

from contextlib import suppress
from importlib import import_module
from threading import Thread

import streamlit as st

from atelier.core.config import UserError
from atelier.core.paths import WEIGHTS, Results
from parts import project
from parts.components import asset


@st.cache_resource(show_spinner=False)
def warm() -> None:
    """Import what *Try it* needs while the first visitor looks at the first page: it takes seconds.

    Where nothing has been trained there is no need.
    """
    if any(Results().models.glob(f"*/{WEIGHTS}")):
        Thread(target=_import, args=("parts.trial",), daemon=True).start()


def _import(module: str) -> None:
    """Whatever is wrong with it, *Try it* will meet it, too, and show it."""
    with suppress(Exception):
        import_module(module)


# Not in pages/: Streamlit would make pages of its own of that folder for the first visitor.
PAGES = [
    st.Page("views/compare.py", title="Compare", default=True),
    st.Page("views/leaderboard.py", title="Leaderboard"),
    st.Page("views/runs.py", title="Runs"),
    st.Page("views/try_it.py", title="Try it"),
]
chosen = st.navigation(PAGES, position="top")
st.set_page_config(f"{chosen.title} · atelier", layout="wide")  # an icon would come from elsewhere
st.html(f"<style>{asset('page.css')}</style>")
try:
    chosen.run()
except UserError as error:
    project.explain(error)
warm()
