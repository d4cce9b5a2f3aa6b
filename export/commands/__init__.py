"""Subcommands of `maskweave export`, one module each."""
