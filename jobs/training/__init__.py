"""What training programs have in common; shipped beside the program that shares it."""
