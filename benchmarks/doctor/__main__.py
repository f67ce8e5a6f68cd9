"""`python -m benchmarks.doctor`."""

from benchmarks.doctor.run import main

if __name__ == "__main__":
    main()
