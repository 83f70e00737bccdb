"""What is learned online.

Models behind one interface (`online`, `linear`, `newton`) see rows of `inputs`; their probability is blended with the
network's (`blending`) and recalibrated (`recalibration`). `history` knows what had been published, `snapshot` is what
travels to the scorers, and `advisor` applies it there.
"""
