"""What one may ask of a trained model."""
