"""Every statement of the service, a module for each table. The caller owns the connection's transaction.

An `insert` answers False when its key or its request_id is taken: `find_request` says which. Locks are taken in one
order: the customer, then the payment, then its attempts.
"""
