{{ rejected_rows('support_tickets') }}
