"""The zoo of the doctor: trainings of which it is known whether they are ill, and of what."""
