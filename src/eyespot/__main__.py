"""`python -m eyespot` is the `eyespot` command; torchrun starts its processes this way."""

from eyespot.cli import main

if __name__ == "__main__":
    main()
