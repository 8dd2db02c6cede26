"""The code MLflow keeps beside a registered model; it runs where the model is loaded.

Two names are all it needs, so that a model registered today loads with a later version of the
package: ``atelier.serving.pyfunc.serve`` stays.
"""

from atelier.serving.pyfunc import serve

serve()
