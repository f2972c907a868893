"""Floor 3: from the log to the server — batches, outcomes, the sender and its thread.

Knows an :class:`~keen_client.delivery.uploader.Uploader`, never HTTP's client.
"""
