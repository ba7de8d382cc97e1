"""What predictions on unlabelled examples should satisfy: one method a file, added to any model."""
