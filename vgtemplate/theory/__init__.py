"""Mean-field theory of signal and gradient at initialisation; it measures nothing and knows no framework."""
