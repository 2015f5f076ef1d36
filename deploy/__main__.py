"""`python -m deploy` is the `liity` program."""

from deploy.cli import main

main()
