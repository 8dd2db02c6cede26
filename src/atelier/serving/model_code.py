"""Code that MLflow stores with a registered model and runs where the model is loaded.

It depends on one name only, ``atelier.serving.pyfunc.serve``, so that a model registered today
loads with later versions of the package: this name must not change.
"""

from atelier.serving.pyfunc import serve

serve()
