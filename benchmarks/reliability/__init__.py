"""What a run survives: signals at every moment, kills at random, system calls that fail, parsers fed with anything."""
