"""What people do: decide about tags, alone or many at once, take decisions back, and see what was decided."""
