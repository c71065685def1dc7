"""The jconv command: one module for each group of subcommands."""
