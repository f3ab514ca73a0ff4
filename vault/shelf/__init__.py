"""What stands on a volume beside what the catalogue says: found, verified where it lies, adopted.

A scan only looks. An adoption enters what lies there: an object that this program made is entered as it stands; one
that others made goes through the intake like any deposit. Nothing here changes or removes what was found.
"""
