{{ typed_rows('support_tickets') }}
