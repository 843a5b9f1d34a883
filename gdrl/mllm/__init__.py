"""Asks about images and understands the answers, whichever model gives them."""
