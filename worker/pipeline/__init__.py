"""The use cases. They pass one room's results to another; rooms do not know each other."""
