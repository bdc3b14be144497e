{{ newest_rows('support_tickets') }}
