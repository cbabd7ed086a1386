"""Claim, fetch, decode, embed, tag, commit: the work on new and changed images."""
