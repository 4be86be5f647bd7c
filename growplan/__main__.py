"""`python -m growplan`."""

from growplan.cli.app import main

if __name__ == "__main__":
    main()
