"""How the starter model's heads are made: features, training, evaluation.

See docs/how-to/train-the-starter-model.md.
"""
