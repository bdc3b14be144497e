{{ rejected_rows('sales') }}
