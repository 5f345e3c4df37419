"""What other libraries answer to the input that this one makes promises about."""
