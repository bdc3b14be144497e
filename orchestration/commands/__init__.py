"""What a person types, by make: a module each; `sample` is a part of `new_table`."""
