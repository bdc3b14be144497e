{{ version_rows('support_tickets') }}
