"""Conditions: what a caller draws or sends, and how it becomes what a model reads."""
