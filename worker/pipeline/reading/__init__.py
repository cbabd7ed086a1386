"""What readers ask: lists, single images, searches, counts, explanations."""
