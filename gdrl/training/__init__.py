"""Loops and losses: optimises, and reports through a callable it was given."""
