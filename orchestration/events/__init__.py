"""Lands the events of a Kafka topic as immutable Parquet objects. It knows neither Airflow nor dbt.

    raw/events/<topic>/<generation>/start.json                              where a generation begins, and what was lost
    raw/events/<topic>/<generation>/<partition>/<first offset>.parquet      the events of [first, next)

The objects of a partition are a chain: each says in its metadata the first offset that it does not cover, and the next
one begins there. What has landed is what the objects say, and nothing else: an object is created only where none is,
and a run reads on from the end of the chain, so that runs that were killed anywhere, or two at once, lose and double
nothing.

A generation is one log. When a part of it is gone before it was read, or the topic is made anew, a run stops and says
so. A person may accept that: the chains are closed, and the next generation begins, which says what was lost.
"""
