{{ raw_rows('payments') }}
