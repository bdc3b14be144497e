{{ clean_rows('customers') }}
