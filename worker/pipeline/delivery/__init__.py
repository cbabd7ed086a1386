"""What other services receive: the change feed, and how long it is kept."""
