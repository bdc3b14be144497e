{{ raw_rows('customers') }}
