{{ rejected_rows('customers') }}
