"""The entry point: `foveal`, which is `python -m foveal`."""


def main() -> None:
    """Run the command line; an interruption while it is being imported is one too."""
    try:
        from foveal.cli import run
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    run()


if __name__ == "__main__":
    main()
