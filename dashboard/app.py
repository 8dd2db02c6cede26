"""Dashboard: the stylised pictures of every method, their scores and their trainings.

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
from parts.mistakes import mistakes


@st.cache_resource(show_spinner=False)
def warm() -> None:
    """Import what *Try it* needs, in the background, as that takes seconds.

    Skipped while nothing has been trained.
    """
    if any(Results().models.glob(f"*/{WEIGHTS}")):
        Thread(target=_import, args=("parts.trial",), daemon=True).start()


def _import(module: str) -> None:
    """Import a module; ignore errors, which *Try it* will meet and show."""
    with suppress(Exception):
        import_module(module)


# Not in pages/: Streamlit would add that folder's files as pages on the first visit.
PAGES = [
    st.Page("views/compare.py", title="Compare", default=True),
    st.Page("views/leaderboard.py", title="Leaderboard"),
    st.Page("views/vote.py", title="Vote"),
    st.Page("views/runs.py", title="Runs"),
    st.Page("views/experiments.py", title="Experiments"),
    st.Page("views/try_it.py", title="Try it"),
]
chosen = st.navigation(PAGES, position="top")
st.set_page_config(f"{chosen.title} · atelier", layout="wide")  # an icon would be fetched
st.html(f"<style>{asset('page.css')}</style>")
try:
    chosen.run()
except UserError as error:
    project.explain(error)
if chosen.title != "Vote":  # which names no methods
    mistakes()
warm()
