"""Imported where all is loaded that will be: no collection of garbage looks through it again, nor in a forked process.

A training ends with a collection (training/memory.py), which takes a third of a second where torch is loaded.
"""

import atexit
import gc

gc.collect()
gc.freeze()
atexit.register(gc.unfreeze)
