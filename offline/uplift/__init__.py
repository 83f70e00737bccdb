"""Does it help? Customers who were contacted against those who were held out, by chance.

`assignment` finds each customer's arm, `outcomes` what they bought afterwards, `mismatch` whether chance has divided
them as it should. `sequence` has intervals that may be looked at any day, `effects` compares the arms with them, and
`analysis` puts all of it together; `words` says it.
"""
