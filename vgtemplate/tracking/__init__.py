"""MLflow, the view of the records: sent once, in the background of an experiment; never read to reach a verdict.

Importing this room does not import mlflow; sending does.
"""
