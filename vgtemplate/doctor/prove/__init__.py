"""Does a cure work? Short copies of a training, as it is and cured, each judged by the doctor's own rules."""
