{{ newest_rows('customers') }}
