"""Fine-tunes an image classifier on folders of images and exports it to a model repository of Fovea."""


class TrainingError(Exception):
    """Ends a training with a message for its user."""
