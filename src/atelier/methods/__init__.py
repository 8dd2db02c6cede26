"""One file per style-transfer system; `base.py` is the contract they share."""
