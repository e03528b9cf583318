"""`python -m eyespot` is the `eyespot` command."""

from eyespot.cli import main

main()
