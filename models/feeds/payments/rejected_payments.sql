{{ rejected_rows('payments') }}
