"""`python -m foveal` is `foveal`."""

from foveal.cli import run

if __name__ == "__main__":
    run()
