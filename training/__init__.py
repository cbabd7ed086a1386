"""How the starter model's heads are made: features, training, evaluation. See docs/starter-model.md."""
