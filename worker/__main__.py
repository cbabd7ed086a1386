"""``python -m worker`` is ``enrich``."""

from worker.cli import main

if __name__ == "__main__":
    main()
