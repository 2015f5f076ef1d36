"""`python -m deploy` is the `liity` program."""

from deploy.liity import main

main()
