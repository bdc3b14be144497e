{{ clean_rows('payments') }}
