"""Reading: lists, single images, searches, counts, explanations."""
