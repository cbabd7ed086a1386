"""The use cases. This is where one room's result becomes another's input; rooms do not know each other."""
