"""What stages with much to remember are made of; no middleware themselves."""
