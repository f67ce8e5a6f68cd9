"""The sixth zoo: small networks after public reports, and trainings that only look ill."""
