"""A second zoo, of trainings unlike the first one's: written and committed before the doctor saw any of them."""
