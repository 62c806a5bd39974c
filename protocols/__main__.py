"""`python -m protocols` is `cryolift`, for machines where pip's script folder is not on PATH."""

from protocols.cli import main

main()
