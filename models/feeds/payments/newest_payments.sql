{{ newest_rows('payments') }}
