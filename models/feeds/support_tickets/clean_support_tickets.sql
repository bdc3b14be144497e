{{ clean_rows('support_tickets') }}
