{{ version_rows('customers') }}
