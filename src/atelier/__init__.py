"""atelier: a reproducible bench for image style transfer."""

import gc

# Torch and MLflow make objects by the hundred thousand and no garbage; at Python's 700 looking for
# it is a fifth of the time their imports take, which is most of a short stage's.
gc.set_threshold(70_000)
