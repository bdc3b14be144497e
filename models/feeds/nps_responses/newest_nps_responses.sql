{{ newest_rows('nps_responses') }}
