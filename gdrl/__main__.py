"""``python -m gdrl`` is the ``gdrl`` command."""

from gdrl.cli import gdrl

if __name__ == "__main__":
    gdrl()
