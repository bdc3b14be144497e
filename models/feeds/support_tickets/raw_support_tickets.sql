{{ raw_rows('support_tickets') }}
