"""`python -m vgtemplate` is `vgt`."""

from vgtemplate.cli.main import main

if __name__ == "__main__":
    main()
