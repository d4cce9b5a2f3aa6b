"""The command as `python -m maskweave_bench`."""

from maskweave_bench.command import main

if __name__ == "__main__":  # client processes import this module too
    main()
