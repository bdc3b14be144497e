{{ version_rows('payments') }}
