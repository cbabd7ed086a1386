"""How the starter model's heads are made: features, training, evaluation. See docs/reference/starter-model.md."""
