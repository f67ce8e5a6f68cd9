"""Jobs on a Dask cluster: who may take one, what is sent, what comes back; imported when one is used."""
