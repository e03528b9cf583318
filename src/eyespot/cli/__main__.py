"""`python -m eyespot.cli`: the same as `eyespot`; torchrun starts its processes this way."""

from eyespot.cli import main

if __name__ == "__main__":
    main()
