"""The way of a deposit: body -> staging -> validation -> accession -> receipt.

A body is streamed, hashed once, straight into the staging of the volume that will hold the first copy; what is wrong
with it is found there, and nothing of a refused deposit remains. HTTP itself lives in :mod:`vault.api`; what happens to
the copies afterwards in :mod:`vault.custody`.
"""
