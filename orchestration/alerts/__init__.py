"""Tells people how a run went.

`facts` asks what is known of a feed's files and of a run, `text` puts it into words, `channels` sends them; none of
these knows another. `callbacks` joins them, and is what DAG files name: each callback is told of which feed it speaks.
"""
