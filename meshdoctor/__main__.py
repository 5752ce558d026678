"""`python -m meshdoctor` is the command `meshdoctor`."""

from meshdoctor.cli.main import main

if __name__ == "__main__":
    main()
