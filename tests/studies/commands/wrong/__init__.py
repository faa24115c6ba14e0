"""What is wrong in a row, and the rows, by what they are about; `test_wrong_inputs` runs them."""
