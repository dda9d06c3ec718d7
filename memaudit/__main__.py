"""`python -m memaudit` is the `memaudit` command."""

from memaudit.cli import main

main()
