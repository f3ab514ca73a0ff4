"""The first set-up of a node, as ``vaultctl init`` does it: from what is found and a few answers to a node that runs.

``found`` looks at the machine, ``answers`` holds what somebody wants, from flags or (``questions``) from a person,
``compose`` writes it as ``vault.toml``, ``making`` makes folders, keys, catalogue, volumes and the first token, and
``service`` starts the daemon. Nothing here overwrites a configuration, a key or a volume; each step that was done
already is left as it is.
"""
