"""Mean-field theory of signal and gradient at initialisation; it measures nothing and knows no framework.

The names below are for code outside; inside, the defining file is imported.
"""

from vgtemplate.theory.layers import Layer
from vgtemplate.theory.meanfield import critical_gain, critical_sigma_w_sq
from vgtemplate.theory.numpy_activations import Activation
from vgtemplate.theory.predict import Prediction, predict, predict_layers

__all__ = ["Activation", "Layer", "Prediction", "critical_gain", "critical_sigma_w_sq", "predict", "predict_layers"]
