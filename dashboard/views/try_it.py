"""Try it: apply trained methods to your own photograph."""

from __future__ import annotations

import streamlit as st

from parts import project

found = project.begin("Try it")
with st.spinner("Loading the methods …"):
    # It imports torch, which takes seconds: only after the heading is shown.
    from parts.trial import trial
trial(found)
