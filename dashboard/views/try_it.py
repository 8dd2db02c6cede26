"""Try it: one's own photograph, through methods that are trained."""

from __future__ import annotations

import streamlit as st

from parts import project

found = project.begin("Try it")
with st.spinner("Loading the methods …"):
    # It brings torch, which takes seconds: after the heading is there.
    from parts.trial import trial
trial(found)
