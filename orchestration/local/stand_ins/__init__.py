"""Local stand-ins for what production has elsewhere: S3, chat, mail, Snowflake."""
